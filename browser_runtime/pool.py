"""The browser sessions of one worker: waits for a free lane, runs the request there, replaces what died."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import structlog

from browser_runtime.errors import Busy, InferenceError, PageSilent, SessionLost, SetupError
from browser_runtime.launching.binaries import Installation, find_installation
from browser_runtime.loopback import Loopback
from browser_runtime.messages import Reply, Request
from browser_runtime.models.store import ModelStore, StoredModel
from browser_runtime.queueing import LaneQueue, Place, remaining_s
from browser_runtime.session import Job, Session, SessionLane, State
from browser_runtime.settings import RuntimeSettings
from browser_runtime.vocabulary import Browser

if TYPE_CHECKING:
    from browser_runtime.simulation import SimulatedSession

log = structlog.get_logger(__name__)

# The guide's bounds on browser connections.
MIN_SESSIONS, MAX_SESSIONS = 1, 8
# A request whose session dies is tried on another; more deaths than this are the request's own doing.
MAX_ATTEMPTS = 3
# A lane whose request was given up has this long to finish it before its browser is replaced.
PROOF_TIMEOUT_S = 30.0
MEMORY_INTERVAL_S = 10.0
RESTART_BACKOFF_S = (0.1, 10.0)


class Pool:
    """Sessions of one browser. All coroutines run on the loop that opened it."""

    def __init__(
        self,
        settings: RuntimeSettings,
        browser: Browser,
        n_sessions: int = 1,
        n_lanes: int = 1,
        store: ModelStore | None = None,
    ) -> None:
        self.browser = browser
        self.sessions: list[Session] = []
        self._settings, self._n_lanes = settings, n_lanes
        self._n_wanted = n_sessions
        self._store = store or ModelStore(settings.models_dir)
        self._loopback = Loopback(settings, self._store)
        self._installation: Installation | None = None
        self._simulated: SimulatedSession | None = None
        self._line = LaneQueue(self.sessions)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._serial = 0
        self._n_running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._refusing = False
        self._n_restarts = 0

    def __repr__(self) -> str:
        state = "simulated" if self._simulated else " ".join(map(repr, self.sessions))
        return f"<Pool {self.browser} running={self._n_running} waiting={len(self._line)} {state}>"

    # --- life

    async def open(self) -> None:
        """Sessions up and proved, or the simulation where that is allowed. Raises SetupError, SessionLost."""
        if self._settings.simulation == "always":
            self._simulate("WEBINFER_SIMULATION=always")
            return
        try:
            self._installation = find_installation(self.browser, self._settings)
        except SetupError as error:
            if self._settings.simulation == "never":
                raise
            self._simulate(str(error))
            return
        try:
            await self._loopback.open()
            await self._start(self._n_wanted)
        except BaseException:
            await self.close()
            raise
        self._spawn(self._sample_memory())

    def _simulate(self, why: str) -> None:
        from browser_runtime.simulation import SimulatedSession

        log.warning("no browser: the models run in Python's onnxruntime", browser=str(self.browser), why=why)
        self._simulated = SimulatedSession(self.browser, why)

    async def _start(self, n: int) -> None:
        """Start `n` sessions side by side; fails only when none came up."""
        results = await asyncio.gather(*(self._start_one() for _ in range(n)), return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        for failure in failures:
            log.error("a session did not start", browser=str(self.browser), why=str(failure))
        if failures and len(failures) == n:
            raise failures[0]

    async def _start_one(self) -> None:
        assert self._installation is not None
        self._serial += 1
        name = f"{self.browser}-{self._serial}"
        session = Session(
            name,
            self._installation,
            self._loopback,
            n_lanes=self._n_lanes,
            on_lost=self._on_lost,
        )
        await session.open()
        self.sessions.append(session)
        await session.sample_memory()
        self._line.wake()

    def _on_lost(self, session: Session, error: SessionLost) -> None:
        """Replace a session that was lost, unless the pool is closing or has enough."""
        for lane in session.lanes:
            lane.lane.lose(error)
        if session in self.sessions:
            self.sessions.remove(session)
        self._spawn(self._replace(session))

    async def _replace(self, session: Session) -> None:
        await session.close()
        delay_s, longest_s = RESTART_BACKOFF_S
        while len(self.sessions) < self._n_wanted and not self._refusing:
            try:
                self._n_restarts += 1
                await self._start_one()
            except InferenceError as error:
                log.error("a session could not be replaced yet", browser=str(self.browser), why=str(error))
                await asyncio.sleep(delay_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, not a secret
                delay_s = min(delay_s * 2, longest_s)

    async def resize(self, n_sessions: int) -> int:
        """Grow or shrink to `n_sessions` (1..8), draining before closing; the number reached."""
        self._n_wanted = min(max(n_sessions, MIN_SESSIONS), MAX_SESSIONS)
        if self._simulated is not None:
            return self._n_wanted
        missing = self._n_wanted - len(self.sessions)
        if missing > 0:
            await self._start(missing)
        elif missing < 0:
            await asyncio.gather(*(self._retire(session) for session in self.sessions[missing:]))
        return len(self.sessions)

    async def _retire(self, session: Session) -> None:
        self.sessions.remove(session)
        await self._line.wait_idle(session)
        await session.close()

    def refuse_new(self) -> None:
        """From now on new requests are Busy; admitted ones go on."""
        self._refusing = True

    async def drain(self) -> None:
        """Returns when nothing runs or waits any more."""
        await self._idle.wait()

    async def close(self) -> None:
        """End every browser and server; running requests fail."""
        self._refusing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(session.close() for session in self.sessions), return_exceptions=True)
        self.sessions.clear()
        await self._loopback.close()

    # --- work

    async def run(self, request: Request) -> Reply:
        """The reply, from whichever session is free first. Raises InferenceError."""
        start = time.monotonic()
        deadline = None if request.deadline_s is None else start + request.deadline_s
        self._admit()
        try:
            model = await self._store.provide(request.model_name, request.precision)
            model.require_family(request.family)
            return await self._attempt(request, model, start, deadline)
        finally:
            self._leave()

    async def _attempt(
        self, request: Request, model: StoredModel, start: float, deadline: float | None
    ) -> Reply:
        if self._simulated is not None:
            return await self._simulated.run(request, model)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                async with self._lane(model.name, deadline) as (session, lane):
                    queue_ms = (time.monotonic() - start) * 1000
                    routing = {"session": f"first free lane of {session.name}", "attempt": attempt}
                    return await session.run(lane, Job(request, model, queue_ms, deadline, routing))
            except SessionLost as error:
                if attempt == MAX_ATTEMPTS or (deadline is not None and time.monotonic() >= deadline):
                    raise
                log.warning("running the request again elsewhere", model=model.name, why=str(error))
        raise AssertionError("unreachable")

    async def echo(self, value: Any) -> Any:
        """`value` after its way to a page and back."""
        self._admit()
        try:
            if self._simulated is not None:
                return value
            async with self._lane("", None) as (session, lane):
                return await session.echo(lane, value)
        finally:
            self._leave()

    def _admit(self) -> None:
        if self._refusing or len(self._line) >= self._settings.max_waiting:
            raise Busy(0)
        self._n_running += 1
        self._idle.clear()

    def _leave(self) -> None:
        self._n_running -= 1
        if self._n_running == 0:
            self._idle.set()

    @contextlib.asynccontextmanager
    async def _lane(self, model_name: str, deadline: float | None) -> AsyncIterator[Place]:
        """A lane to oneself. One whose request was given up is proved before anyone else gets it."""
        limit_s = remaining_s(deadline, self._settings.queue_timeout_s)
        session, lane = await self._line.claim(model_name, limit_s)
        try:
            yield session, lane
        except (PageSilent, asyncio.CancelledError):
            self._spawn(self._prove(session, lane))
            raise
        except BaseException:
            self._line.free(lane)
            raise
        else:
            self._line.free(lane)

    async def _prove(self, session: Session, lane: SessionLane) -> None:
        """Calls of a lane run in order, so an echo's answer means that the given-up one has ended."""
        try:
            await lane.lane.call("echo", PROOF_TIMEOUT_S, value=None)
            self._line.free(lane)
        except SessionLost as error:
            if session.state is State.READY:
                session.state = State.LOST
                self._on_lost(session, error)

    # --- watch

    def status(self) -> dict[str, Any]:
        """The live state, as plain values."""
        return {
            "browser": str(self.browser),
            "build": self._installation.build if self._installation else "",
            "simulation": self._simulated is not None,
            "sessions": [_session_status(session) for session in self.sessions],
            "wanted": self._n_wanted,
            "running": self._n_running,
            "waiting": len(self._line),
            "restarts": self._n_restarts,
            "refusing": self._refusing,
        }

    async def _sample_memory(self) -> None:
        while True:
            await asyncio.sleep(MEMORY_INTERVAL_S)
            for session in list(self.sessions):
                await session.sample_memory()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _session_status(session: Session) -> dict[str, Any]:
    return {
        "session": session.name,
        "state": str(session.state),
        "build": session.build,
        "driver": session.driver_version,
        "lanes": [{"busy": lane.busy, "models": list(lane.shelf.loaded)} for lane in session.lanes],
        "memory_bytes": session.memory_bytes,
        "runs": session.n_runs,
        "started_ms": session.started_ms,
        "backends": {str(b): session.capabilities.can(b) for b in session.capabilities.backends},
    }
