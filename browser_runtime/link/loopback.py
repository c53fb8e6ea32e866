"""Page server, bridge and guardian, shared by all sessions of a pool."""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from browser_runtime.background import TaskSet
from browser_runtime.contract.orphans import end_orphans
from browser_runtime.launching.browser_user import find_browser_user
from browser_runtime.launching.guardian import Guardian
from browser_runtime.launching.private_network import PrivateNetwork, open_network
from browser_runtime.link.bridge import Bridge
from browser_runtime.link.http_server import Files, PageServer
from browser_runtime.once import Once, call_in_thread
from browser_runtime.settings import RuntimeSettings

log = structlog.get_logger(__name__)


class Loopback:
    """Both loopback servers and the guardian of one pool, opened and closed together."""

    def __init__(self, settings: RuntimeSettings, files: Files) -> None:
        self.settings = settings
        self._server = PageServer(files)
        self._bridge: Bridge | None = None
        self._guardian: Guardian | None = None
        self.network: PrivateNetwork | None = None
        """Where both listen; None: on the machine's own loopback."""
        self._tasks = TaskSet()
        self._opening, self._closing = Once(self._open), Once(self._close)

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:<port>` of the page server."""
        return self._server.origin

    @property
    def bridge(self) -> Bridge:
        """The WebSocket server; open() comes first."""
        assert self._bridge is not None, "open() comes first"
        return self._bridge

    @property
    def guardian(self) -> Guardian:
        """The process that ends this worker's browsers should it be killed; open() comes first."""
        assert self._guardian is not None, "open() comes first"
        return self._guardian

    @property
    def n_guardian_restarts(self) -> int:
        """Times that the guardian was killed and started anew."""
        return 0 if self._guardian is None else self._guardian.n_restarts

    async def open(self) -> None:
        """Listen on both ports, start the guardian, and end what dead workers left."""
        await self._opening.done()

    async def _open(self) -> None:
        user = await asyncio.to_thread(find_browser_user, self.settings)
        self.network = network = await open_network(self.settings, user)
        await self._server.open(network.page_socket if network else None)
        self._bridge = Bridge(self._server.origin, self.settings.beat_interval_s)
        await self._bridge.open(network.bridge_socket if network else None)
        self._guardian = Guardian()
        if orphans := await asyncio.to_thread(end_orphans):
            log.warning("ended browsers of a dead worker", folders=orphans)
        self._tasks.spawn(self._guardian.supervise())

    def kill(self) -> None:
        """End every browser, by the guardian, from any thread; blocks until they are gone."""
        guardian, self._guardian = self._guardian, None
        if guardian is not None:
            guardian.close()

    async def close(self) -> None:
        """Close both servers; the guardian ends whatever it still watches, then itself."""
        await self._closing.done()

    async def _close(self) -> None:
        if self._opening.begun:
            with contextlib.suppress(Exception):  # the caller sees the first error; what did open is closed
                await self._opening.done()
        await self._tasks.cancel()
        if self._bridge is not None:
            await self._bridge.close()
        await self._server.close()
        if self._guardian is not None:
            guardian, self._guardian = self._guardian, None
            await call_in_thread(guardian.close)
        if self.network is not None:
            self.network.close()
