"""Finds out what a dropped connection means: that it alone was lost, or its browser."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from browser_runtime.contract.errors import BridgeClosed, BrowserDied, SessionLost
from browser_runtime.launching.hosting import BrowserHost
from browser_runtime.link.bridge import LaneConnection

log = structlog.get_logger(__name__)

# A page whose socket alone dropped is back within its first backoff; a dead browser never is.
REJOIN_TIMEOUT_S = 1.0


class Liveness:
    """Tells a session whether its page is still there."""

    def __init__(
        self,
        name: str,
        connections: Sequence[LaneConnection],
        host: BrowserHost,
        launch_timeout_s: float,
        on_lost: Callable[[SessionLost], None],
        on_rejoined: Callable[[str], None],
    ) -> None:
        self._name, self._connections, self._host = name, connections, host
        self._launch_timeout_s = launch_timeout_s
        self._on_lost, self._on_rejoined = on_lost, on_rejoined
        self._rejoining: asyncio.Task[SessionLost | None] | None = None
        """Its result: what the session was lost to; None where every lane was connected again."""

    def dropped(self, error: SessionLost) -> None:
        """The connection of a lane closed."""
        if self._rejoining is None or self._rejoining.done():
            self._rejoining = asyncio.get_running_loop().create_task(self._await_rejoin(error))

    async def explain(self, error: BridgeClosed) -> SessionLost:
        """What a call failed with whose connection closed: the connection's loss alone, or its browser's."""
        if self._rejoining is None:
            return error
        await asyncio.wait((self._rejoining,))
        lost = None if self._rejoining.cancelled() else self._rejoining.result()
        return (lost or error).copy()

    async def close(self) -> None:
        """Decide nothing any more."""
        if self._rejoining is not None:
            self._rejoining.cancel()
            await asyncio.gather(self._rejoining, return_exceptions=True)

    async def _await_rejoin(self, error: SessionLost) -> SessionLost | None:
        """A line that drops alone is taken up again, also by a lane that starts anew; else all is lost."""
        restarts = any(connection.is_restarting for connection in self._connections)
        joined = asyncio.ensure_future(self._await_lanes())
        ended = asyncio.ensure_future(self._host.await_end())
        try:
            timeout_s = self._launch_timeout_s if restarts else REJOIN_TIMEOUT_S
            await asyncio.wait((joined, ended), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            joined.cancel()
            ended.cancel()
        if joined.done() and not ended.done():
            self._on_rejoined("its lane started anew after a crash of its engine" if restarts else str(error))
            return None
        lost = BrowserDied(self._name, "its process is gone") if ended.done() else error
        log.warning("session lost", session=self._name, why=str(lost))
        self._on_lost(lost)
        return lost

    async def _await_lanes(self) -> None:
        """Return when every lane is connected."""
        while not all(connection.joined.is_set() for connection in self._connections):
            for connection in self._connections:
                await connection.joined.wait()
