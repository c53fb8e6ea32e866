"""Finds out whether a session is still there: by its page and lanes, and when a connection drops.

The page itself computes nothing and answers at once; one that does not has left, or its browser stands
still. A lane beats while it is idle, and is deaf while it computes: how long that may take is decided for
each run.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from browser_runtime.contract.errors import BridgeClosed, BrowserDied, PageSilent, SessionLost
from browser_runtime.launching.hosting import BrowserHost
from browser_runtime.link.bridge import LaneConnection
from browser_runtime.settings import RuntimeSettings

# A page whose socket alone dropped is back within its first backoff; a dead browser never is.
REJOIN_TIMEOUT_S = 1.0
LOOK_INTERVAL_S = 1.0
# What an answer of the page, or of a lane that is idle, may take, which takes milliseconds; then it is asked
# once more, for it may be this process that stood still. Five seconds together.
PAGE_TIMEOUTS_S = (4.0, 1.0)
# An idle lane that has said nothing for so long, and for so many beats, is lost.
LANE_SILENCE_S, MISSED_BEATS = 5.0, 3
# On a machine so busy that answers take long, or this process is late, all of them grow with the slowest of
# so many last ones: twenty of those fit, and no more than four times as much is waited.
N_PACES, PACE_FACTOR, MOST_SLOWDOWN = 30, 20.0, 4.0


@dataclass(frozen=True, slots=True)
class Lines:
    """The connections of one session."""

    page: LaneConnection
    lanes: tuple[LaneConnection, ...]

    @property
    def all(self) -> tuple[LaneConnection, ...]:
        """The page's and the lanes'."""
        return (self.page, *self.lanes)


class Liveness:
    """Watches the connections of a session."""

    def __init__(
        self,
        name: str,
        lines: Lines,
        host: BrowserHost,
        settings: RuntimeSettings,
        on_lost: Callable[[SessionLost], None],
        on_rejoined: Callable[[str], None],
    ) -> None:
        self._name, self._lines, self._host, self._settings = name, lines, host, settings
        self._on_lost, self._on_rejoined = on_lost, on_rejoined
        self._rejoining: asyncio.Task[SessionLost | None] | None = None
        """Its result: what the session was lost to; None where every line was connected again."""
        self._watching: asyncio.Task[None] | None = None
        self._paces_s: deque[float] = deque(maxlen=N_PACES)
        """What the last answers of the page took, and how late this process was."""

    def watch(self) -> None:
        """Notice from now on when the page or an idle lane falls silent."""
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    def dropped(self, error: SessionLost) -> None:
        """Find out what the close of a connection means."""
        if self._rejoining is None or self._rejoining.done():
            self._rejoining = asyncio.get_running_loop().create_task(self._await_rejoin(error))

    async def explain(self, error: BridgeClosed) -> SessionLost:
        """Return the error of a call whose connection closed: that of the connection, or of its browser."""
        if self._rejoining is None:
            return error
        await asyncio.wait((self._rejoining,))
        lost = None if self._rejoining.cancelled() else self._rejoining.result()
        return (lost or error).copy()

    async def close(self) -> None:
        """Decide nothing any more."""
        tasks = [task for task in (self._rejoining, self._watching) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self) -> None:
        """Ask the page and look at the lanes, every second or beat; return when the session is lost."""
        suspects: set[LaneConnection] = set()
        while True:
            interval_s = min(self._settings.beat_interval_s, LOOK_INTERVAL_S)
            began = time.monotonic()
            await asyncio.sleep(interval_s)
            self._paces_s.append(time.monotonic() - began - interval_s)
            silent = set(self._silent_lanes())
            lost = await self._ask(self._lines.page, "it left, or its browser stands still")
            for lane in silent & suspects:  # at two looks, in case it was this process that stood still
                why = f"its idle lane {lane.number} said nothing for {lane.protocol.silent_s():.1f} s"
                lost = PageSilent(self._name, why)
            if lost is not None:
                self._on_lost(lost)
                return
            suspects = silent

    async def ask(self, lane: LaneConnection) -> None:
        """Return once a lane that is idle has answered. Raises PageSilent where it does not."""
        lost = await self._ask(lane, f"its idle lane {lane.number} stands still")
        if lost is not None:
            raise lost

    async def _ask(self, line: LaneConnection, meaning: str) -> PageSilent | None:
        """Return the error, with its meaning, of a line that does not answer; None where it does, or is
        not connected."""
        slowdown, began = self._slowdown, time.monotonic()
        for timeout_s in PAGE_TIMEOUTS_S:
            try:
                await line.call("echo", timeout_s * slowdown, value=None)
            except PageSilent:
                continue
            except SessionLost:
                return None
            self._paces_s.append(time.monotonic() - began)
            return None
        silent_s = time.monotonic() - began
        return PageSilent(self._name, f"{meaning}: no answer for {silent_s:.1f} s")

    @property
    def _slowdown(self) -> float:
        """Return the factor by which everything may take longer now than on an idle machine."""
        slowest_s = max(self._paces_s, default=0.0)
        return min(max(PACE_FACTOR * slowest_s / PAGE_TIMEOUTS_S[0], 1.0), MOST_SLOWDOWN)

    def _silent_lanes(self) -> Iterator[LaneConnection]:
        """The idle lanes that have not beaten for too long."""
        allowed_s = max(LANE_SILENCE_S * self._slowdown, MISSED_BEATS * self._settings.beat_interval_s)
        for lane in self._lines.lanes:
            if lane.is_idle and lane.protocol.silent_s() > allowed_s:
                yield lane

    async def _await_rejoin(self, error: SessionLost) -> SessionLost | None:
        """Wait for every line to connect again, also by a lane that starts anew; else the session is lost."""
        restarts = any(connection.is_restarting for connection in self._lines.all)
        joined = asyncio.ensure_future(self._await_lines())
        ended = asyncio.ensure_future(self._host.await_end())
        try:
            timeout_s = self._settings.launch_timeout_s if restarts else REJOIN_TIMEOUT_S
            await asyncio.wait((joined, ended), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            joined.cancel()
            ended.cancel()
        if joined.done() and not ended.done():
            self._on_rejoined("its lane started anew after a crash of its engine" if restarts else str(error))
            return None
        lost = BrowserDied(self._name, "its process is gone") if ended.done() else error
        self._on_lost(lost)
        return lost

    async def _await_lines(self) -> None:
        """Return when every line is connected."""
        while not all(connection.joined.is_set() for connection in self._lines.all):
            for connection in self._lines.all:
                await connection.joined.wait()
