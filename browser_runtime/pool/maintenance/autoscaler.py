"""Adaptive scaling: looks at the pool, follows the policy's decision, keeps every change as an event."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from dataclasses import replace

import psutil
import structlog

from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.events import PoolObserver, PoolScaled
from browser_runtime.contract.families import PREFERRED_BROWSER
from browser_runtime.contract.status import SessionState
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.pool.dispatch.dispatch import Dispatch
from browser_runtime.pool.dispatch.observer import DispatchObserver
from browser_runtime.pool.dispatch.requests import PendingRequest, RequestQueue
from browser_runtime.pool.fleet import Fleet
from browser_runtime.pool.health.health import PoolHealth
from browser_runtime.scaling.forecast import Arrivals, MeanLoad
from browser_runtime.scaling.sessions import PoolState, SessionPolicy, decide_sessions
from browser_runtime.scaling.trends import theil_sen_slope
from browser_runtime.scaling.values import Decision, Replica, ScalingMemory
from browser_runtime.session.lanes import LaneJob
from browser_runtime.session.session import Session

log = structlog.get_logger(__name__)

INTERVAL_S = 2.0
# Looks at the queue that its slope is taken from: the last half minute.
N_QUEUE_SAMPLES = 15
# Replies that throughput is counted from.
THROUGHPUT_WINDOW_S = 10.0
MAX_EVENTS = 500
# Models a new session loads before it joins: each takes seconds.
MOST_WARMED = 2


class PoolAutoscaler(DispatchObserver):
    """Grows and shrinks a fleet between its bounds; `resize` and remote control use the fleet alike."""

    def __init__(
        self,
        fleet: Fleet,
        queue: RequestQueue,
        health: PoolHealth,
        dispatch: Dispatch,
        browsers: tuple[Browser, ...],
        policy: SessionPolicy,
        observer: PoolObserver,
    ) -> None:
        self.policy = policy
        self.events: deque[PoolScaled] = deque(maxlen=MAX_EVENTS)
        """Every change with its reasons and factors, oldest first."""
        self.arrivals, self.load = Arrivals(), MeanLoad()
        self.factors: dict[str, float | None] = {}
        self._fleet, self._queue, self._health, self._dispatch = fleet, queue, health, dispatch
        self._browsers, self._observer = browsers, observer
        self._memory = ScalingMemory()
        self._latest: dict[str, PendingRequest] = {}
        self._queue_lengths: deque[tuple[float, float]] = deque(maxlen=N_QUEUE_SAMPLES)
        self._replies: deque[float] = deque(maxlen=10_000)
        dispatch.observe(self)

    def queued(self, pending: PendingRequest) -> None:
        """See `DispatchObserver`."""
        self.arrivals.record(pending.model.name, time.monotonic())
        self._latest[pending.model.name] = pending

    async def warm(self, session: Session) -> None:
        """Load there what is asked for most, so that a new session takes over at once."""
        for pending in self.busiest_requests(MOST_WARMED):
            name = next(iter(pending.request.inputs))
            loading = LaneJob(replace(pending.request, inputs={name: []}), pending.model)
            try:
                for lane in session.lanes:
                    await session.run(lane, loading)
            except InferenceError as error:
                log.warning(
                    "model warm-up failed", session=session.name, model=pending.model.name, error=str(error)
                )

    def busiest_requests(self, n: int) -> list[PendingRequest]:
        """Return the latest requests for the `n` models that, with those that share parts, take most time."""
        now = time.monotonic()
        rates = self.arrivals.rates_per_s(now)
        loads = {
            name: rates[name] * self._health.service_s.get(name, 0.0)
            for name in self.arrivals.busy_models(now)
        }
        needs = {name: self._contents_of(name) for name in loads}
        # What a model brings serves those that share parts with it as well.
        worth = {
            name: sum(load for other, load in loads.items() if other == name or needs[name] & needs[other])
            for name in loads
        }
        busiest = sorted(loads, key=lambda name: (-worth[name], -loads[name]))[:n]
        return [self._latest[name] for name in busiest if name in self._latest]

    def _contents_of(self, name: str) -> frozenset[str]:
        """Hashes of the graphs that the model's latest request needs."""
        latest = self._latest.get(name)
        return frozenset() if latest is None else frozenset(each.hash for each in latest.contents)

    def _busy(self, now: float) -> frozenset[str]:
        """The names of models that are asked for, and the hashes of their graphs."""
        names = self.arrivals.busy_models(now)
        return names.union(*map(self._contents_of, names))

    def answered(self, pending: PendingRequest) -> None:
        """See `DispatchObserver`."""
        self._replies.append(time.monotonic())

    def busy(self, n_busy: int) -> None:
        """See `DispatchObserver`."""
        self.load = self.load.after(n_busy, time.monotonic())

    async def watch(self) -> None:
        """Look, decide, act; for ever."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            self._queue_lengths.append((time.monotonic(), float(len(self._queue))))
            decision = decide_sessions(self._state(), time.monotonic(), self.policy)
            self._memory, self.factors = decision.memory, dict(decision.factors)
            if decision.change:
                await self._act(decision)

    def _state(self) -> PoolState:
        now = time.monotonic()
        views = tuple(
            self._view(session) for session in self._fleet.sessions if session.state is SessionState.READY
        )
        starting = tuple(
            Replica(f"starting-{browser}-{n}", is_starting=True)
            for browser, count in self._fleet.n_starting.items()
            for n in range(count)
        )
        memory = psutil.virtual_memory()
        sizes = [session.memory_bytes for session in self._fleet.sessions if session.memory_bytes]
        recent = sum(at_s > now - THROUGHPUT_WINDOW_S for at_s in self._replies)
        return PoolState(
            views + starting,
            load=self.load.value(now),
            n_waiting=len(self._queue),
            queue_slope_per_s=theil_sen_slope(list(self._queue_lengths)) or 0.0,
            forecast_load=self.arrivals.forecast_load(now, self._start_s(), self._health.service_s),
            memory_percent=memory.percent,
            session_memory_percent=100 * sum(sizes) / len(sizes) / memory.total if sizes else None,
            throughput_per_s=recent / THROUGHPUT_WINDOW_S,
            busy_models=self._busy(now),
            memory=self._memory,
        )

    def _view(self, session: Session) -> Replica:
        now, condition = time.monotonic(), self._health.of(session)
        return Replica(
            session.name,
            len(session.lanes),
            sum(not lane.is_idle for lane in session.lanes),
            condition.health.score(now),
            condition.breaker.would_allow(now),
            # A graph counts like a model: the only holder of one that others' models need stays.
            warm_models=frozenset(session.model_names | session.contents),
        )

    def _start_s(self) -> float:
        """Return the start-up time of a session, as measured on those that are up."""
        times = [session.started_ms / 1000 for session in self._fleet.sessions]
        return max(times, default=INTERVAL_S)

    async def _act(self, decision: Decision) -> None:
        log.info(
            "scaling pool", change=decision.change, target=decision.target, reasons=list(decision.reasons)
        )
        if decision.change > 0:
            browser = self._browser_in_need()
            self._keep(decision, browser)
            try:
                await self._fleet.grow(browser, decision.change)
            except InferenceError as error:
                log.error("scaling up failed", browser=str(browser), error=str(error))
            return
        for name in decision.drain:
            session = next((each for each in self._fleet.sessions if each.name == name), None)
            if session is not None:
                self._keep(decision, session.installation.browser)
                await self._fleet.retire(session, decision.reason)

    def _keep(self, decision: Decision, browser: Browser) -> None:
        event = PoolScaled(
            browser, decision.n, decision.target, decision.reasons, decision.factors, decision.drain
        )
        self.events.append(event)
        self._observer.scaled(event)

    def _browser_in_need(self) -> Browser:
        """The browser that most of what waits would prefer; the first where nothing waits."""
        wishes: Counter[Browser] = Counter()
        for pending in self._queue:
            family = pending.request.family
            wish = pending.request.browser or self._dispatch.matching.preferred.get(family)
            wishes[wish or PREFERRED_BROWSER[family]] += 1
        for browser, _ in wishes.most_common():
            if browser in self._browsers:
                return browser
        return self._browsers[0]
