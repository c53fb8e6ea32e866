"""A worker's figures, as Prometheus metrics and for `celery inspect browser_metrics`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
from prometheus_client import Counter as Count
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from browser_runtime.contract.answers import read_times_ms
from browser_runtime.contract.errors import FailedAttempt, InferenceError
from browser_runtime.contract.events import ModelLoaded, PoolObserver, PoolScaled, SessionChanged
from browser_runtime.contract.messages import LOAD_STEPS, Reply, Request
from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.sharing import LaneSharing
from browser_runtime.contract.status import (
    BreakerState,
    FailingModel,
    PoolStatus,
    SessionState,
    SessionStatus,
)
from browser_runtime.pool.reporting.tally import Tally
from tasks.periodic import failed_turns
from tasks.telemetry.observer import RunObserver
from tasks.telemetry.rows import RequestOrigin

# From a cached small model to a cold large one; a run on two cores takes 2 ms to some seconds.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
RAN = ("model", "backend")
MODEL = ("model", "revision", "precision", "flags")


class WorkerMetrics(PoolObserver, RunObserver):
    """Counts what becomes of requests, models and sessions. Every method returns at once."""

    def __init__(self, worker: str, browser: str) -> None:
        self.registry = CollectorRegistry()
        self.tally = Tally()
        self._broker_wait = self._histogram("broker_wait_seconds", "From sending to a worker's receipt", RAN)
        self._queue_wait = self._histogram("queue_wait_seconds", "Waiting for a lane in the worker", RAN)
        self._compute = self._histogram("compute_seconds", "Computing, with the results' way back", RAN)
        self._total = self._histogram("request_seconds", "From the worker's receipt to its reply", RAN)
        self._load = self._histogram("load_seconds", "Fetching, compiling and warming up a model", RAN)
        self._items = self._histogram("batch_items", "Items that ran together, once a request", RAN, ITEMS)
        self._requests = self._counter("requests", "Requests by how they ended", ("outcome",))
        self._loads = self._counter("loads", "Models opened on a backend, or refused", (*RAN, "outcome"))
        self._events = self._counter("session_events", "What became of sessions", ("browser", "event"))
        self._attempts = self._counter("failed_attempts", "Attempts that failed", ("error", "step"))
        self._scaled = self._counter("pool_scalings", "Changes by adaptive scaling", ("direction",))
        about = GaugeMetricFamily("webinfer_worker_info", "Who tells", labels=("worker", "browser"))
        about.add_metric([worker, browser], 1)
        self._about = about
        ProcessCollector(registry=self.registry)

    def _histogram(
        self, name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...] = SECONDS
    ) -> Histogram:
        return Histogram(f"webinfer_{name}", text, labels, registry=self.registry, buckets=buckets)

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Count:
        return Count(f"webinfer_{name}", text, labels, registry=self.registry)

    def show(self, status: Callable[[], PoolStatus]) -> None:
        """From now on tell, at each scrape, the state that `status()` returns too."""
        self.registry.register(StatusCollector(status, self._about))

    # --- runs

    def ran(self, request: Request, reply: Reply, origin: RequestOrigin) -> None:
        """A request was answered. Only models that ran become labels: nobody can invent them."""
        self.tally.answered(reply)
        self._requests.labels("answered" if reply.success else "answered in part").inc()
        labels = (reply.model_name, reply.backend)
        self._broker_wait.labels(*labels).observe(reply.timings.broker_ms / 1000)
        self._queue_wait.labels(*labels).observe(reply.timings.queue_ms / 1000)
        self._compute.labels(*labels).observe(reply.inference_time_ms / 1000)
        self._total.labels(*labels).observe(reply.total_time_ms / 1000)
        self._items.labels(*labels).observe(reply.details.get("batch_items") or 1)

    def failed(
        self, request: Request, error: InferenceError, origin: RequestOrigin, browser: str, took_s: float
    ) -> None:
        """A request failed."""
        self.tally.failed(error.code())
        self._requests.labels(error.code()).inc()

    # --- the pool's observer

    def loaded(self, event: ModelLoaded) -> None:
        """A model was opened or refused."""
        name, backend = event.model.name, str(event.model.backend)
        outcome = "loaded" if event.error is None else event.error.code()
        self._loads.labels(name, backend, outcome).inc()
        if event.answer is not None:
            self.tally.n_loads += 1
            took_ms = sum(read_times_ms(event.answer, LOAD_STEPS).values())
            self._load.labels(name, backend).observe(took_ms / 1000)

    def connected(self, event: SessionChanged) -> None:
        """Count a change of a session."""
        self._events.labels(str(event.session.browser), event.change).inc()

    def attempt_failed(self, event: FailedAttempt) -> None:
        """An attempt at a request failed, and something was done about it."""
        self._attempts.labels(event.error, event.step).inc()

    def scaled(self, event: PoolScaled) -> None:
        """The pool grew or shrank by itself."""
        self._scaled.labels("up" if event.change > 0 else "down").inc()


class StatusCollector(Collector):
    """States, read when they are asked for."""

    def __init__(self, status: Callable[[], PoolStatus], about: Metric) -> None:
        self._status, self._about = status, about

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering must not read the state."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Sessions by state, breakers by state, failing models, health, memory, requests, restarts."""
        yield self._about
        status = self._status()
        sessions = status.sessions
        states = Counter(str(session.state) for session in sessions)
        states["starting"] += status.n_starting
        yield _by_state("webinfer_sessions", "Browser sessions by state", states, SessionState)
        circuits = Counter(str(session.breaker.state) for session in sessions)
        yield _by_state("webinfer_breakers", "Sessions by the state of their breaker", circuits, BreakerState)
        yield from _failing_models(status.failing_models)
        health = [(session, session.health) for session in sessions]
        yield _by_session("webinfer_session_health", "Health, 0 to 100", health)
        memory = [(each, each.memory_bytes) for each in sessions if each.memory_bytes is not None]
        yield _by_session("webinfer_session_memory_bytes", "Proportional memory", memory)
        yield from _sharing(sessions)
        yield GaugeMetricFamily("webinfer_waiting_requests", "Requests waiting", status.n_waiting)
        yield GaugeMetricFamily("webinfer_running_requests", "Requests running", status.n_running)
        restarts = CounterMetricFamily("webinfer_session_restarts", "Sessions started in place of lost ones")
        restarts.add_metric([], status.n_restarts)
        yield restarts
        guardians = CounterMetricFamily("webinfer_guardian_restarts", "Guardians started anew")
        guardians.add_metric([], status.n_guardian_restarts)
        yield guardians
        failed = CounterMetricFamily(
            "webinfer_failed_turns", "Turns of a thread or timer that ended by an error", labels=("part",)
        )
        for part, n in failed_turns.items():
            failed.add_metric([part], n)
        yield failed


def _by_state(
    name: str, text: str, counts: Counter[str], states: type[SessionState] | type[BreakerState]
) -> Metric:
    """One sample a state, zero where nothing is in it: an alert needs the zero."""
    gauge = GaugeMetricFamily(name, text, labels=("state",))
    for state in states:
        gauge.add_metric([str(state)], counts[str(state)])
    return gauge


def _sharing(sessions: Sequence[SessionStatus]) -> Iterator[Metric]:
    """What the models of a session share, over its lanes."""
    found = [(each, LaneSharing.sum(lane.sharing for lane in each.lanes)) for each in sessions]
    columns: dict[str, tuple[str, Callable[[LaneSharing], int]]] = {
        "graphs": ("Distinct graphs and weights that are open", lambda shared: shared.graphs.n_parts),
        "graph_uses": ("Uses of them by models", lambda shared: shared.graphs.n_references),
        "graph_saved_bytes": ("Bytes that each use would hold besides", lambda s: s.graphs.saved_bytes),
        "results": ("Results of encoders that are kept", lambda shared: shared.results.n_results),
        "result_bytes": ("Bytes of them", lambda shared: shared.results.size_bytes),
        "result_hits": ("Results taken, not computed, since its lanes began", lambda s: s.results.hits),
    }
    for name, (text, count) in columns.items():
        yield _by_session(f"webinfer_shared_{name}", text, [(each, count(shared)) for each, shared in found])


def _failing_models(models: Mapping[ModelKey, FailingModel]) -> Iterator[Metric]:
    """Models that fail, counted by the state of their breaker; that state and the failures of each."""
    counts = Counter(str(failing.breaker.state) for failing in models.values())
    yield _by_state("webinfer_failing_models", "Models that failed, by their breaker", counts, BreakerState)
    breaker = GaugeMetricFamily(
        "webinfer_model_breaker", "1 for the state a failing model's breaker is in", labels=(*MODEL, "state")
    )
    failures = GaugeMetricFamily("webinfer_model_failures", "Failures of a model in a row", labels=MODEL)
    for key, failing in models.items():
        labels = [key.name, key.revision, str(key.precision), "+".join(key.flags)]
        failures.add_metric(labels, failing.breaker.failures)
        for state in BreakerState:
            breaker.add_metric([*labels, str(state)], float(failing.breaker.state is state))
    yield from (breaker, failures)


def _by_session(name: str, text: str, values: Iterable[tuple[SessionStatus, float]]) -> Metric:
    gauge = GaugeMetricFamily(name, text, labels=("browser", "session"))
    for session, value in values:
        gauge.add_metric([str(session.browser), session.session], float(value))
    return gauge
