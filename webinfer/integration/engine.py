"""The pool of an integration, on an event loop of its own, so it runs while the user's loop is blocked."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from browser_runtime.contract.errors import BadRequest, InferenceError, SessionLost, Unsupported
from browser_runtime.contract.messages import Reply, Request
from browser_runtime.contract.pieces import PieceSink
from browser_runtime.contract.status import PoolStatus
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.logs import log_through_stdlib
from browser_runtime.loops import LoopThread
from browser_runtime.pool import Pool
from browser_runtime.pool.reporting.tally import Tally
from webinfer.integration.options import Options

if TYPE_CHECKING:
    from webinfer.integration.local_history import LocalHistory

log = structlog.get_logger(__name__)

T = TypeVar("T")

# For closing browsers in order; the pool's guardian kills those that are left.
CLOSE_TIMEOUT_S = 15.0


class Engine:
    """A pool and its loop. Methods may be called from any thread; those that block say so."""

    def __init__(self, options: Options) -> None:
        if not structlog.is_configured():  # by default structlog prints to standard output
            log_through_stdlib()
        self.options, self.tally = options, Tally()
        self.history = None if options.history_path is None else _open_history(options.history_path)
        self.pool = self._new_pool()
        self._loops = LoopThread("webinfer-pool")
        self._life, self._growing = threading.Lock(), asyncio.Lock()
        self._running = self._ended = False
        self._opened: Future[bool] | None = None

    def _new_pool(self, **settings: Any) -> Pool:
        over = self.options.settings().model_copy(update=settings)
        pool = Pool(over, self.options.start_order(), self.options.min_connections)
        pool.dispatch.matching.preferred.update(self.options.preferred)
        if self.history is not None:
            pool.observers.add(self.history.telemetry)
        return pool

    # --- life

    def start(self) -> None:
        """Begin to start sessions. Await `opened` for the result; call `close` in any case."""
        self._loops.start()
        self._running = True
        self._opened = self._loops.submit(self._open())
        if self.history is not None:
            self.history.start(self._status)

    def _status(self) -> PoolStatus | None:
        """The pool's state, for other threads; None while it starts or ends."""
        return self.read(lambda engine: engine.pool.status()) if self.is_up else None

    async def opened(self) -> bool:
        """Wait for the start; True if a real browser is running. Raises SetupError, SessionLost.

        May be awaited on any loop; cancelling it only stops waiting, since others may wait too.
        """
        assert self._opened is not None, "start() comes first"
        loop, known = asyncio.get_running_loop(), asyncio.Event()

        def tell(done: Future[bool]) -> None:
            with contextlib.suppress(RuntimeError):  # the waiting loop has ended
                loop.call_soon_threadsafe(known.set)

        self._opened.add_done_callback(tell)
        await known.wait()
        if self._opened.cancelled():  # its loop has ended
            raise SessionLost("pool", "it was closed while it came up")
        return self._opened.result()

    @property
    def is_up(self) -> bool:
        """True while it answers requests."""
        opened = self._opened
        return self._running and opened is not None and opened.done() and opened.exception() is None

    async def _open(self) -> bool:
        try:
            await self.pool.open()
        except SessionLost as error:
            if self.pool.settings.simulation == "never":
                raise
            await self._simulate(str(error))
        return self.pool.simulated is None

    async def _simulate(self, why: str) -> None:
        """Replace the pool by the simulation, after a browser did not start."""
        if not self._running:
            raise SessionLost("pool", "it was closed while it came up")
        self.pool = self._new_pool(simulation="always")
        await self.pool.open()
        assert self.pool.simulated is not None
        self.pool.simulated.why = why

    def close(self) -> None:
        """End browsers, servers and loop; pending requests and starts fail. Blocks; safe at any time."""
        with self._life:
            if self._opened is None or self._ended:
                return
            self._running = False
            try:
                self._loops.call(self.pool.close(), CLOSE_TIMEOUT_S)
            except TimeoutError:
                log.error("browsers killed: did not close in time", pool=repr(self.pool))
            finally:
                self._end()

    def _end(self) -> None:
        self._ended = True
        try:
            self._loops.stop()
        finally:
            self.pool.kill()
            if self.history is not None:
                self.history.close()

    def abandon(self) -> None:
        """Close an integration that was dropped: at the interpreter's end at once, else in a thread.

        The garbage collector may call this on any thread, even the pool's loop, so it must not block.
        """
        if not self._running:
            return
        log.warning("integration not closed; closing its browsers")
        if threading.main_thread().is_alive():
            threading.Thread(target=self.close, name="webinfer-close").start()
        else:
            self.close()

    # --- work

    def submit(self, work: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        """Start `work()` on the loop. Raises BadRequest before `open` and after `close`."""
        if not self.is_up:
            raise BadRequest("the integration is not up; await initialize() first, and not after close()")
        return self._loops.submit(work())

    def ask(self, request: Request, pieces: PieceSink | None = None) -> Future[Reply]:
        """The future reply; `pieces` takes its text as it is generated, on the pool's loop."""
        return self.submit(lambda: self._run(request, pieces))

    async def _run(self, request: Request, pieces: PieceSink | None) -> Reply:
        start = time.monotonic()
        try:
            reply = await self.pool.run(request, pieces)
        except InferenceError as error:
            self.tally.failed(error.code())
            if self.history is not None:
                self.history.failed(request, error, time.monotonic() - start)
            raise
        self.tally.answered(reply)
        if self.history is not None:
            self.history.answered(request, reply)
        return reply

    def read(self, look: Callable[[Engine], T]) -> T:
        """The result of `look`, run on the loop. Blocks."""

        async def looked() -> T:
            return look(self)

        return self.submit(looked).result()

    # --- models

    def load(self, request: Request, preferred: Browser) -> Future[Reply]:
        """Load the request's model, in the preferred browser if there is one or room for one."""
        return self.submit(lambda: self._load(request, preferred))

    async def _load(self, request: Request, preferred: Browser) -> Reply:
        """Load the model; other browsers are started only if the running ones do not support the request."""
        others = [browser for browser in self.options.start_order() if browser is not preferred]
        await self._bring_up(preferred)
        while True:
            try:
                reply = await self.pool.run(request)
            except Unsupported:
                if not await self._bring_up_first(others):
                    raise
            else:
                self.tally.n_loads += 1
                return reply

    async def _bring_up_first(self, browsers: list[Browser]) -> bool:
        """Start the first browser of the list that starts, removing those tried; True if one did."""
        while browsers:
            if await self._bring_up(browsers.pop(0)):
                return True
        return False

    async def _bring_up(self, browser: Browser) -> bool:
        """Start the first session of `browser` if there is room; True if it was started."""
        if self.pool.simulated is not None:
            return False
        fleet = self.pool.fleet
        async with self._growing:
            if fleet.count(browser) or fleet.wanted.total() >= self.options.max_connections:
                return False
            try:
                await fleet.grow(browser)
            except InferenceError as error:
                log.warning("browser unavailable", browser=str(browser), reason=str(error))
                return False
        return True


def _open_history(path: Path) -> LocalHistory:
    """The history at `path`. Raises MissingExtra without the scheduler's packages, HistoryUnavailable."""
    from webinfer.integration.local_history import LocalHistory

    return LocalHistory(path)
