"""The sessions of a pool: started, replaced when they die, drained before they are closed."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial

import structlog

from browser_runtime.background import TaskSet
from browser_runtime.contract.errors import InferenceError, SessionLost
from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.status import SessionState
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.launching.binaries import Installation, find_installation
from browser_runtime.link.loopback import Loopback
from browser_runtime.link.protocol import PageEvent
from browser_runtime.policies.recovery import backoff_s
from browser_runtime.pool.notifier import Notifier
from browser_runtime.session.observer import SessionObserver
from browser_runtime.session.session import Session

log = structlog.get_logger(__name__)

# The guide's bounds on browser connections.
MIN_SESSIONS, MAX_SESSIONS = 1, 8


class Fleet(SessionObserver[Session]):
    """Sessions by browser, and how many of each are wanted."""

    def __init__(self, loopback: Loopback, n_lanes: int, notifier: Notifier) -> None:
        self.sessions: list[Session] = []
        self.observer = SessionObserver[Session]()
        """Called at the events of every session; to be replaced before the first starts."""
        self.wanted: Counter[Browser] = Counter()
        self.n_starting: Counter[Browser] = Counter()
        self.n_restarts = 0
        self.start_failures: dict[Browser, str] = {}
        """Why no session of a browser has come up since one was lost, told as a sentence."""
        self.installations: dict[Browser, Installation] = {}
        self._loopback, self._n_lanes, self._notifier = loopback, n_lanes, notifier
        self._serial: Counter[Browser] = Counter()
        self._distrusted: defaultdict[Browser, dict[ModelKey, InferenceError]] = defaultdict(dict)
        """Models on backends that no session of a browser tries again, and why."""
        self._alive: set[Session] = set()
        """Every session whose browser may run: those that come up and go down are not in `sessions`."""
        self._recycled: set[Session] = set()
        """Sessions that serve until the ones that are starting in their places are up."""
        self._tasks = TaskSet()
        self._closing = False

    def find(self, browser: Browser) -> Installation:
        """The browser's installation, looked for once. Raises SetupError."""
        if browser not in self.installations:
            self.installations[browser] = find_installation(browser, self._loopback.settings)
        return self.installations[browser]

    def count(self, browser: Browser) -> int:
        """Sessions of `browser` that are up or coming up."""
        return sum(s.installation.browser is browser for s in self.sessions) + self.n_starting[browser]

    async def grow(self, browser: Browser, n: int = 1) -> None:
        """Start `n` more, side by side. Raises the first failure only when none came up."""
        self.wanted[browser] += n
        starts = [self._tasks.spawn(self._start(browser)) for _ in range(n)]
        for start in starts:
            start.add_done_callback(partial(self._count_out, browser))
        results = await asyncio.gather(*starts, return_exceptions=True)
        failures = [self._explain(result) for result in results if result is not None]
        for failure in failures:
            log.error("session start failed", browser=str(browser), error=str(failure))
        if failures and len(failures) == n:
            raise failures[0]

    def _count_out(self, browser: Browser, start: asyncio.Task[None]) -> None:
        """One that did not come up is not wanted any more, so that it is not started again for ever."""
        if start.cancelled() or start.exception() is not None:
            self.wanted[browser] -= 1

    def _explain(self, failure: BaseException) -> BaseException:
        """The error for a caller of `grow`: the caller itself was not cancelled."""
        is_ours = isinstance(failure, asyncio.CancelledError) and self._closing
        return SessionLost("pool", "it was closed while a session started") if is_ours else failure

    async def _start(self, browser: Browser) -> None:
        self._serial[browser] += 1
        name = f"{browser}-{self._serial[browser]}"
        self.n_starting[browser] += 1
        self._notifier.notify()
        try:
            installation = await asyncio.to_thread(self.find, browser)
            self.sessions.append(await self._bring_up(name, installation))
            self.start_failures.pop(browser, None)
        finally:
            self.n_starting[browser] -= 1
        self._notifier.notify()

    async def _bring_up(self, name: str, installation: Installation) -> Session:
        """A session that serves. Whatever goes wrong, its browser is ended."""
        if self._closing:
            raise SessionLost(name, "its pool is closed")
        session = Session(
            name,
            installation,
            self._loopback,
            n_lanes=self._n_lanes,
            events=self,
            distrusted=self._distrusted[installation.browser],
        )
        self._alive.add(session)
        try:
            await session.open()
            await session.sample_memory()
            await self.observer.started(session)
        except BaseException:
            await self._end(session)
            raise
        return session

    async def _end(self, session: Session) -> None:
        """Close the session; should whoever asked be cancelled meanwhile, `close` waits for it."""
        await session.close()
        self._alive.discard(session)

    def reported(self, session: Session, event: PageEvent) -> None:
        """See `SessionObserver`."""
        self.observer.reported(session, event)

    def rejoined(self, session: Session, reason: str) -> None:
        """See `SessionObserver`."""
        self._notifier.notify()
        self.observer.rejoined(session, reason)

    def lost(self, session: Session, error: SessionLost) -> None:
        """See `SessionObserver`."""
        self.lose(session, error)

    def lose(self, session: Session, error: SessionLost) -> None:
        """A session died, or has to: fail its calls, end it, and start another in its place."""
        if session not in self.sessions or self._closing:
            return
        log.warning("session lost", session=session.name, error=str(error))
        session.state = SessionState.LOST
        self.sessions.remove(session)
        if session in self._recycled:  # what starts in its place is the one that is wanted
            self.wanted[session.installation.browser] -= 1
        for lane in session.lanes:
            lane.connection.lose(error)
        self.observer.ended(session, error)
        self._notifier.notify()
        self._tasks.spawn(self._replace(session))

    async def _replace(self, session: Session) -> None:
        try:
            await self._end(session)
        except Exception:  # what it left is ended by the guardian or the next sweep; the pool goes on
            log.exception("session not ended", session=session.name)
        await self._fill(session.installation.browser)

    async def _fill(self, browser: Browser) -> None:
        """Start sessions until as many are there as are wanted."""
        attempt = 0
        while self.count(browser) < self.wanted[browser] and not self._closing:
            try:
                self.n_restarts += 1
                await self._start(browser)
            except Exception as error:  # whatever it is: without another try nothing serves again
                attempt += 1
                delay_s = backoff_s(attempt, random.random())  # noqa: S311 - jitter, not a secret
                self._count_failed_start(browser, attempt, error, delay_s)
                await asyncio.sleep(delay_s)

    def _count_failed_start(self, browser: Browser, attempt: int, error: Exception, delay_s: float) -> None:
        why = str(error) if isinstance(error, InferenceError) else f"{type(error).__name__}: {error}"
        times = "once" if attempt == 1 else f"{attempt} times"
        self.start_failures[browser] = f"A session of {browser} failed to start {times}: {why}"
        log.error(
            "session start failed",
            browser=str(browser),
            attempt=attempt,
            error=why,
            retry_in_s=round(delay_s, 3),
        )
        self._notifier.notify()

    async def retire(self, session: Session, why: str) -> None:
        """Take no new work there, wait for what it has, then close it. It is not replaced."""
        if session.state is not SessionState.READY:
            return
        session.state = SessionState.DRAINING
        self.wanted[session.installation.browser] -= 1
        log.info("retiring session", session=session.name, reason=why)
        await self._notifier.until(lambda: session.idle or session.state is not SessionState.DRAINING)
        if session in self.sessions:
            self.sessions.remove(session)
        self.observer.ended(session, None)
        await self._end(session)
        self._notifier.notify()

    async def recycle(self, session: Session, why: str) -> None:
        """Start another in its place first, then retire it: the pool gets neither smaller nor larger.

        Does nothing where that is under way: a start may take longer than the time between two checks.
        """
        if session in self._recycled:
            return
        browser = session.installation.browser
        self._recycled.add(session)
        try:
            await self.grow(browser)
        except InferenceError as error:
            log.error("session recycling failed", session=session.name, error=str(error))
            if session.state is SessionState.LOST:
                self.wanted[browser] += 1
                await self._fill(browser)
            return
        finally:
            self._recycled.discard(session)
        await self.retire(session, why)

    def spawn_recycle(self, session: Session, why: str) -> None:
        """`recycle` in the background."""
        self._tasks.spawn(self.recycle(session, why))

    async def resize(
        self, browser: Browser, n: int, keep: Callable[[Session], bool] = lambda s: False
    ) -> int:
        """Grow or shrink to `n` sessions of `browser`; those that `keep` says are retired last."""
        missing = n - self.wanted[browser]
        if missing > 0:
            await self.grow(browser, missing)
        elif missing < 0:
            ready = [
                s
                for s in self.sessions
                if s.installation.browser is browser and s.state is SessionState.READY
            ]
            least_needed = sorted(ready, key=lambda session: (keep(session), not session.idle))[:-missing]
            await asyncio.gather(*(self.retire(session, f"resized to {n}") for session in least_needed))
        return self.count(browser)

    async def close(self) -> None:
        """End every session, without waiting for its work, those too that just come or go."""
        self._closing = True
        await self._tasks.cancel()
        await asyncio.gather(*(session.close() for session in self._alive), return_exceptions=True)
        self._alive.clear()
        for session in self.sessions:
            self.observer.ended(session, None)
        self.sessions.clear()

    def give_up(self) -> None:
        """Replace no session any more."""
        self._closing = True
