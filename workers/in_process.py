"""Browsers in the caller's own process, for requests run there: `infer.apply()`, `task_always_eager`."""

from __future__ import annotations

import asyncio
import atexit
import os
from dataclasses import replace
from typing import Any

import structlog

from browser_runtime.contract.errors import InferenceError, SetupError
from browser_runtime.contract.families import PREFERRED_BROWSER
from browser_runtime.contract.messages import Reply, Request
from browser_runtime.contract.pieces import PieceSink
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.launching.binaries import find_installation
from browser_runtime.logs import log_through_stdlib
from browser_runtime.loops import LoopThread
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from tasks.routing.rerouting import list_attempts
from tasks.routing.router import join_routing

log = structlog.get_logger(__name__)

# Closing browsers politely; whatever is left then is killed by the pool's guardian.
CLOSE_TIMEOUT_S = 15.0


class InProcessRunner:
    """One pool a browser, each started when a request first needs it. Its coroutines run on any loop."""

    def __init__(self) -> None:
        if not structlog.is_configured():  # else every line would go to the user's standard output
            log_through_stdlib()
        self._settings = RuntimeSettings()
        self._loops = LoopThread("webinfer-in-process")
        self._loops.start()
        self._pools: dict[Browser, Pool] = {}
        self._starting = asyncio.Lock()

    async def run(self, request: Request, pieces: PieceSink | None = None) -> Reply:
        """The reply, its pieces given to `pieces` while it grows. Raises InferenceError."""
        return await asyncio.wrap_future(self._loops.submit(self._run(request, pieces)))

    async def _run(self, request: Request, pieces: PieceSink | None) -> Reply:
        browsers = self._browsers_for(request)
        attempts: list[dict[str, str]] = []
        for browser, after in zip(browsers, [*browsers[1:], None], strict=True):
            try:
                reply = await (await self._pool(browser)).run(request, pieces)
            except InferenceError as error:
                if after is None or not error.reroute:
                    raise
                log.warning(
                    "trying another browser", browser=str(after), error=error.code(), reason=str(error)
                )
                attempts += list_attempts(error, f"{browser} could not; {after} may")
            else:
                return replace(reply, routing=join_routing({"attempts": attempts}, reply.routing))
        raise AssertionError("there is always a last browser")

    def _browsers_for(self, request: Request) -> list[Browser]:
        """The browser the request names, else those that are installed, the usual one of its family first."""
        if request.browser is not None:
            return [request.browser]
        usual = PREFERRED_BROWSER[request.family]
        ordered = [usual, *(browser for browser in Browser if browser is not usual)]
        return [browser for browser in ordered if self._is_installed(browser)] or [usual]

    def _is_installed(self, browser: Browser) -> bool:
        try:
            find_installation(browser, self._settings)
        except SetupError:
            return False
        return True

    async def _pool(self, browser: Browser) -> Pool:
        async with self._starting:
            if browser not in self._pools:
                pool = Pool(self._settings, browser)
                await pool.open()
                self._pools[browser] = pool
            return self._pools[browser]

    async def echo(self, value: Any) -> Any:
        """`value` after its way to a page and back."""
        return await asyncio.wrap_future(self._loops.submit(self._echo(value)))

    async def _echo(self, value: Any) -> Any:
        browser = next(iter(self._pools), None) or next(filter(self._is_installed, Browser), Browser.CHROME)
        return await (await self._pool(browser)).echo(value)

    def close(self) -> None:
        """End the browsers and the loop. Blocks."""
        for pool in self._pools.values():
            self._loops.call(pool.close(), CLOSE_TIMEOUT_S)
        self._loops.stop()


_runners: list[InProcessRunner] = []


def get_runner() -> InProcessRunner:
    """This process's; made at first, closed when the process ends."""
    if not _runners:
        _runners.append(InProcessRunner())
        atexit.register(close)
    return _runners[0]


def close() -> None:
    """End the browsers of this process, if there are any. A later request starts new ones."""
    while _runners:
        _runners.pop().close()


# A forked child has neither the thread nor the connections of its parent.
os.register_at_fork(after_in_child=_runners.clear)
