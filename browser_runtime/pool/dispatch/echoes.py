"""Values on their way to a page and back: the smallest request, and the proof that a lane is free again."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import structlog

from browser_runtime.background import TaskSet
from browser_runtime.contract.errors import Busy, PageSilent, SessionLost
from browser_runtime.policies.recovery import MAX_ATTEMPTS, backoff_s
from browser_runtime.pool.dispatch.matching import LaneSlot, Matching
from browser_runtime.pool.dispatch.recovering import LOADS_PER_ATTEMPT
from browser_runtime.pool.fleet import Fleet
from browser_runtime.pool.notifier import Notifier
from browser_runtime.session.lanes import SessionLane
from browser_runtime.session.session import Session
from browser_runtime.settings import RuntimeSettings

log = structlog.get_logger(__name__)

# A lane whose request was given up may finish it within the run's limit and so much more; then its browser
# is replaced.
PROOF_TIMEOUT_S = 5.0


class Echoes:
    """Sends values to pages, each on a lane that does nothing else meanwhile."""

    def __init__(
        self,
        fleet: Fleet,
        matching: Matching,
        settings: RuntimeSettings,
        notifier: Notifier,
        release: Callable[[SessionLane, object], None],
    ) -> None:
        """`release`: frees a lane that this object holds."""
        self._fleet, self._matching, self._settings = fleet, matching, settings
        self._notifier, self._release = notifier, release
        self._tasks = TaskSet()
        self._is_closed = False

    async def send(self, value: Any) -> Any:
        """`value` after its way to a page and back, on the first lane that is free.

        A value whose session is lost takes another one, as often as any request. Raises Busy, SessionLost.
        """
        lost = Counter[str]()
        while True:
            session, lane = await self._take_free()
            try:
                return await self._send_on(session, lane, value)
            except SessionLost as error:
                lost[session.name] += 1
                n_lost = lost.total()
                if len(lost) >= MAX_ATTEMPTS or n_lost >= MAX_ATTEMPTS * LOADS_PER_ATTEMPT:
                    raise
                log.warning("an echo takes another session", session=session.name, error=str(error))
                await asyncio.sleep(backoff_s(n_lost, random.random()))  # noqa: S311 - jitter, not a secret

    async def _take_free(self) -> LaneSlot:
        place: LaneSlot | None = None

        def found() -> bool:
            nonlocal place
            place = self._matching.free_place()
            return place is not None or self._is_closed

        limit_s = self._settings.queue_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                await self._notifier.until(found)
        except TimeoutError as error:
            raise Busy(limit_s, *self._fleet.start_failures.values()) from error
        if place is None or self._is_closed:
            raise Busy(0)
        return place

    async def ping(self, session: Session, lane: SessionLane) -> float:
        """Milliseconds of an empty echo on a lane that is idle. Raises SessionLost.

        One that does not answer within seconds is lost: requests wait for it meanwhile.
        """
        holder = lane.holder = object()
        try:
            return await session.ping(lane)
        except SessionLost as error:
            self._fleet.lose(session, error)  # before its lane is free for another
            raise
        finally:
            self._release(lane, holder)

    async def _send_on(self, session: Session, lane: SessionLane, value: Any) -> Any:
        """`value` after its way to the page and back on a lane that is free. Raises SessionLost."""
        holder = lane.holder = object()
        try:
            answer = await session.echo(lane, value)
        except PageSilent:
            self._tasks.spawn(self.prove(session, lane, lambda: self._release(lane, holder)))
            raise
        except BaseException:
            self._release(lane, holder)
            raise
        self._release(lane, holder)
        return answer

    async def prove(self, session: Session, lane: SessionLane, free: Callable[[], None]) -> None:
        """Call `free` once the lane's given-up call has ended; without an answer its session is lost.

        Calls of a lane run in order, so the answer to an echo means that those before it have ended.
        """
        try:
            await lane.connection.call("echo", lane.activity.left_s + PROOF_TIMEOUT_S, value=None)
            free()
        except SessionLost as error:
            self._fleet.lose(session, error)

    async def close(self) -> None:
        """Take no lane any more; what waits for one is Busy."""
        self._is_closed = True
        self._notifier.notify()
        await self._tasks.cancel()
