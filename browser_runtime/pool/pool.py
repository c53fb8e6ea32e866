"""Runs many models on a few browser sessions.

Sends each request to the lane expected to answer first, batched with compatible requests.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import structlog

from browser_runtime.background import TaskSet
from browser_runtime.contract.errors import BadInput, Busy, SessionLost, SetupError
from browser_runtime.contract.events import PoolObservers
from browser_runtime.contract.messages import Reply, Request, Timings
from browser_runtime.contract.pieces import PieceMemory, PieceSink
from browser_runtime.contract.status import PoolStatus
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.link.loopback import Loopback
from browser_runtime.models.store import ModelStore, StoredModel
from browser_runtime.once import Once
from browser_runtime.policies.recycling import RecyclePolicy
from browser_runtime.pool.dispatch.dispatch import Dispatch
from browser_runtime.pool.dispatch.model_provider import ModelProvider
from browser_runtime.pool.dispatch.preparing import prepare
from browser_runtime.pool.dispatch.requests import PendingRequest, RequestQueue
from browser_runtime.pool.fleet import MAX_SESSIONS, MIN_SESSIONS, Fleet
from browser_runtime.pool.health.health import PoolHealth
from browser_runtime.pool.maintenance.autoscaler import PoolAutoscaler
from browser_runtime.pool.maintenance.session_events import SessionEvents
from browser_runtime.pool.maintenance.session_monitor import SessionMonitor
from browser_runtime.pool.notifier import Notifier
from browser_runtime.pool.reporting.processor import ProcessorMeter
from browser_runtime.pool.reporting.status import session_status
from browser_runtime.scaling.sessions import SessionPolicy
from browser_runtime.session.loading import key_of
from browser_runtime.session.session import Session
from browser_runtime.session.timed_calls import Deadline, within
from browser_runtime.settings import RuntimeSettings

if TYPE_CHECKING:
    from browser_runtime.simulation.session import SimulatedSession

log = structlog.get_logger(__name__)

# The guide's health check.
CHECK_INTERVAL_S = 15.0


class Pool:
    """Browser sessions and the requests before them. All coroutines run on the loop that opened it."""

    def __init__(
        self,
        settings: RuntimeSettings,
        browser: Browser | Sequence[Browser],
        n_sessions: int = 1,
        n_lanes: int = 1,
        store: ModelStore | None = None,
    ) -> None:
        self.browsers = (browser,) if isinstance(browser, Browser) else tuple(browser)
        self.settings, self.store = settings, store or ModelStore(settings.models_dir)
        self.notifier, self.health, self.queue = Notifier(), PoolHealth(), RequestQueue()
        self._n_first = n_sessions
        self._loopback = Loopback(settings, self.store)
        self.observers = PoolObservers()
        """Called at every event; to be added to before `open`."""
        self.fleet = Fleet(self._loopback, n_lanes, self.notifier)
        self.dispatch = Dispatch(self.fleet, self.queue, self.health, settings, self.notifier, self.observers)
        policy = SessionPolicy(min_replicas=settings.min_sessions, max_replicas=settings.max_sessions)
        self.autoscaler = PoolAutoscaler(
            self.fleet, self.queue, self.health, self.dispatch, self.browsers, policy, self.observers
        )
        self.fleet.observer = SessionEvents(self.fleet, self.health, self.autoscaler, self.observers)
        limits = RecyclePolicy(settings.recycle_after_runs, settings.recycle_above_mb << 20)
        self.session_monitor = SessionMonitor(self.fleet, self.health, self.dispatch, limits, self.observers)
        self.processor = ProcessorMeter()
        self._models = ModelProvider(self.store)
        self.simulated: SimulatedSession | None = None
        self.n_open = 0
        """Requests admitted and not yet answered."""
        self._tasks = TaskSet()
        self._closing = Once(self._close)

    @property
    def browser(self) -> Browser:
        """The first, and in a worker the only, browser."""
        return self.browsers[0]

    @property
    def sessions(self) -> list[Session]:
        """The live sessions."""
        return self.fleet.sessions

    def __repr__(self) -> str:
        state = "simulated" if self.simulated else " ".join(map(repr, self.sessions))
        return f"<Pool {','.join(self.browsers)} open={self.n_open} waiting={len(self.queue)} {state}>"

    async def open(self) -> None:
        """Sessions up and proved, or the simulation where that is allowed. Raises SetupError, SessionLost."""
        if self.settings.simulation == "always":
            self._simulate("WEBINFER_SIMULATION=always")
            return
        try:
            self.browsers = await asyncio.to_thread(self._installed)
        except SetupError as error:
            if self.settings.simulation == "never":
                raise
            self._simulate(str(error))
            return
        if self._closing.begun:
            raise SessionLost(str(self.browser), "the pool was closed while it came up")
        try:
            await self._loopback.open()
            await asyncio.gather(*(self.fleet.grow(browser, n) for browser, n in self._first_mix()))
        except BaseException:
            await self.close()
            raise
        self._tasks.spawn_for_ever("session monitor", self._watch_sessions)
        if self.settings.adaptive_scaling:
            self._tasks.spawn_for_ever("autoscaler", self.autoscaler.watch)

    async def _watch_sessions(self) -> None:
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            await self.session_monitor.look_after_all()
            self._release_models()
            self.processor.look()

    def _installed(self) -> tuple[Browser, ...]:
        """The browsers of this pool that are on this machine. Raises the first SetupError where none is."""
        found, missing = [], []
        for browser in self.browsers:
            try:
                self.fleet.find(browser)
                found.append(browser)
            except SetupError as error:
                missing.append(error)
                log.warning("browser unavailable", browser=str(browser), reason=str(error))
        if not found:
            raise missing[0]
        return tuple(found)

    def _first_mix(self) -> list[tuple[Browser, int]]:
        """Split the first sessions among the browsers, in turn."""
        n = self._n_first
        return [
            (browser, (n - place + len(self.browsers) - 1) // len(self.browsers))
            for place, browser in enumerate(self.browsers)
            if place < n
        ]

    def _simulate(self, why: str) -> None:
        from browser_runtime.simulation.session import SimulatedSession

        log.warning("simulating models", browser=str(self.browser), reason=why)
        self.simulated = SimulatedSession(self.browser, why)

    async def resize(self, n_sessions: int, browser: Browser | None = None) -> int:
        """Grow or shrink to `n_sessions` (1..8) of a browser, draining before closing; the number reached."""
        wanted = min(max(n_sessions, MIN_SESSIONS), MAX_SESSIONS)
        if self.simulated is not None:
            return wanted
        return await self.fleet.resize(browser or self.browser, wanted, self.dispatch.is_needed)

    async def close(self) -> None:
        """End every browser and server; what runs or waits fails."""
        await self._closing.done()

    async def _close(self) -> None:
        await self._tasks.cancel()
        await self.dispatch.close()
        await self.fleet.close()
        await self._loopback.close()

    def kill(self) -> None:
        """End every browser at once, from any thread; for an interpreter that ends without `close`."""
        self.fleet.give_up()
        self._loopback.kill()

    # --- work

    async def run(self, request: Request, pieces: PieceSink | None = None) -> Reply:
        """The reply, from wherever it is answered soonest; `pieces` takes its text as it grows.

        Raises InferenceError.
        """
        arrived = time.monotonic()
        deadline = Deadline.of(request.deadline_s, arrived)
        self._admit()
        try:
            async with within(deadline, "its model was fetched and checked"):
                model = await self._models.provide(request)
            if pieces is not None and not model.family.generates:
                streamed = f"{model.name!r} for a stream, a model of {model.kind}"
                raise BadInput("model_name", streamed, "a model that generates text")
            key = key_of(model, request)
            if refusal := self.health.models.refusal(key):
                raise refusal
            if self.simulated is not None:
                async with within(deadline, "it was simulated"):
                    with self.health.models.counting(key):
                        return await self.simulated.run(request, model, pieces)
            async with within(deadline, "its items were prepared"):
                pending = await self._prepare(request, model, arrived, deadline)
            if model.family.generates and request.single:
                pending.pieces = pieces or PieceMemory()
            return await self._answered(pending)
        finally:
            self.n_open -= 1

    async def _prepare(
        self, request: Request, model: StoredModel, arrived: float, deadline: Deadline | None
    ) -> PendingRequest:
        """A request with its items as they go to a page. Raises BadRequest."""
        started = time.monotonic()
        prepared = await prepare(request, model)
        reply = asyncio.get_running_loop().create_future()
        pending = PendingRequest(
            prepared.request, model, arrived, deadline, reply, prepared.lengths, max(round(prepared.work), 1)
        )
        took_ms = (time.monotonic() - started) * 1000
        pending.before = Timings(preprocess_ms=took_ms, total_ms=took_ms)
        return pending

    async def _answered(self, pending: PendingRequest) -> Reply:
        """The request's reply, Busy where no lane became free, or DeadlineExceeded."""
        self.dispatch.put(pending)
        pending.timer = self.dispatch.watch(pending)
        try:
            return await pending.reply
        finally:
            pending.timer.cancel()
            self.dispatch.abandon(pending)

    def _release_models(self) -> None:
        """Let models be removed from the store that no session holds and no request waits for."""
        loaded = (session.model_names for session in self.sessions)
        self.store.in_use.release_unused(set().union(*loaded, (each.model.name for each in self.queue)))

    async def echo(self, value: Any) -> Any:
        """`value` after its way to a page and back."""
        self._admit()
        try:
            return value if self.simulated is not None else await self.dispatch.echoes.send(value)
        finally:
            self.n_open -= 1

    def _admit(self) -> None:
        if self._closing.begun or len(self.queue) >= self.settings.max_waiting:
            raise Busy(0, *self.fleet.start_failures.values())
        self.n_open += 1

    # --- watch

    def status(self) -> PoolStatus:
        """The live state."""
        fleet, condition = self.fleet, self.health.of
        return PoolStatus(
            browser=self.browser,
            build=next((found.build for found in fleet.installations.values()), ""),
            is_simulation=self.simulated is not None,
            sessions=tuple(session_status(session, condition(session)) for session in fleet.sessions),
            n_wanted=sum(fleet.wanted.values()),
            n_starting=sum(fleet.n_starting.values()),
            n_running=self.n_open - len(self.queue),
            n_waiting=len(self.queue),
            load=round(self.autoscaler.load.value(time.monotonic()), 3),
            busy_models=tuple(sorted(self.autoscaler.arrivals.busy_models(time.monotonic()))),
            n_restarts=fleet.n_restarts,
            n_guardian_restarts=self._loopback.n_guardian_restarts,
            start_failures={str(browser): why for browser, why in fleet.start_failures.items()},
            failing_models=self.health.models.failing(),
        )
