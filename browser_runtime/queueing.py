"""Requests waiting for a lane, first come, first served; who gets which lane is a pure choice."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from browser_runtime.errors import Busy
from browser_runtime.session import Session, SessionLane, State

T = TypeVar("T")
Place = tuple[Session, SessionLane]


class LaneQueue:
    """The line in front of a pool's lanes. `sessions` is the pool's live list."""

    def __init__(self, sessions: list[Session]) -> None:
        self._sessions = sessions
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return sum(not freed.done() for freed in self._waiting)

    async def claim(self, model_name: str, limit_s: float) -> Place:
        """A lane that is now the caller's, to be given back with `free`. Raises Busy after `limit_s`."""
        try:
            async with asyncio.timeout(limit_s):
                place = await self._wait_for(lambda: choose_lane(self._sessions, model_name))
        except TimeoutError as error:
            raise Busy(round(limit_s, 1)) from error
        place[1].busy = True
        return place

    async def wait_idle(self, session: Session) -> None:
        """Returns when no lane of `session` is busy."""
        await self._wait_for(lambda: None if any(lane.busy for lane in session.lanes) else True)
        self.wake()  # it was a look, not a claim: the next in line may have the lane

    def free(self, lane: SessionLane) -> None:
        """Give a lane back."""
        lane.busy = False
        self.wake()

    def wake(self) -> None:
        """Let the first that waits look again."""
        while self._waiting:
            freed = self._waiting.popleft()
            if not freed.done():
                freed.set_result(None)
                return

    async def _wait_for(self, look: Callable[[], T | None]) -> T:
        while (found := look()) is None:
            freed = asyncio.get_running_loop().create_future()
            self._waiting.append(freed)
            try:
                await freed
            except asyncio.CancelledError:
                if freed.done() and not freed.cancelled():
                    self.wake()  # the wake-up came together with the cancellation: pass it on
                raise
        return found


def choose_lane(sessions: list[Session], model_name: str) -> Place | None:
    """An idle lane that holds the model, else the idle lane with the fewest models; None if all are busy."""
    idle = [
        (session, lane)
        for session in sessions
        if session.state is State.READY
        for lane in session.lanes
        if not lane.busy and lane.lane.joined.is_set()
    ]
    return min(idle, key=lambda place: _cost(place[1], model_name), default=None)


def _cost(lane: SessionLane, model_name: str) -> tuple[bool, int]:
    cold = all(key.split("|")[0] != model_name for key in lane.shelf.loaded)
    return cold, len(lane.shelf.loaded)


def remaining_s(deadline: float | None, limit_s: float) -> float:
    """Time left until the monotonic `deadline`, at least 0 and at most `limit_s`."""
    if deadline is None:
        return limit_s
    return max(min(limit_s, deadline - time.monotonic()), 0.0)
