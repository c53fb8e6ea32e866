"""The pages' figures as Prometheus gauges, made at each scrape: what has gone leaves no stale series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from browser_runtime.contract.status import BreakerState
from scheduler.monitor.failing_models import FailingModelRow
from scheduler.monitor.performance import Measurements, ModelLine, latest_of
from scheduler.monitor.queues import Board
from scheduler.monitor.sessions import SessionRow

SESSION = ("worker", "browser", "session")
MODEL = ("worker", "model", "revision", "precision", "flags")
LINE = ("model", "browser", "backend")


@dataclass(frozen=True, slots=True)
class Figures:
    """The values of the pages at one scrape."""

    sessions: Sequence[SessionRow] = ()
    failing_models: Sequence[FailingModelRow] = ()
    board: Board = field(default_factory=Board)
    measurements: Measurements | None = None
    """None before the history was asked."""


class MonitorCollector(Collector):
    """Turns what `figures()` returns into gauges."""

    def __init__(self, figures: Callable[[], Figures]) -> None:
        self._figures = figures

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are known only at a scrape."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every gauge."""
        figures = self._figures()
        yield from _session_gauges(figures.sessions)
        yield from _model_gauges(figures.failing_models)
        yield from _queue_gauges(figures.board)
        yield from _performance_gauges(figures.measurements)


def _session_gauges(rows: Sequence[SessionRow]) -> Iterator[Metric]:
    columns: dict[str, tuple[str, Callable[[SessionRow], float | None]]] = {
        "health": ("Health of a browser session, 0 to 100", lambda row: row.health),
        "memory_bytes": ("Proportional memory (PSS) of a session's processes", lambda row: row.memory_bytes),
        "busy_lanes": ("Lanes that compute", lambda row: row.n_busy),
        "runs": ("Runs since the session started", lambda row: row.runs),
        "shared_saved_bytes": ("Bytes that models of a session share", lambda row: row.shared_saved_bytes),
        "shared_hits": ("Results taken, not computed anew", lambda row: row.shared_hits),
        "silent": ("1 where nothing has been heard for 15 s", lambda row: row.silent),
    }
    for name, (text, value_of) in columns.items():
        gauge = GaugeMetricFamily(f"webinfer_session_{name}", text, labels=SESSION)
        for row in rows:
            value = value_of(row)
            if value is not None:
                gauge.add_metric([row.worker, row.browser, row.session], float(value))
        yield gauge
    states = (([row.worker, row.browser, row.session], row.breaker) for row in rows)
    yield _state_gauge("webinfer_session_breaker", "1 for the state the breaker is in", SESSION, states)


def _model_gauges(rows: Sequence[FailingModelRow]) -> Iterator[Metric]:
    counts = Counter(row.breaker for row in rows)
    failing = GaugeMetricFamily(
        "webinfer_failing_models", "Models that failed and have not recovered since", labels=("state",)
    )
    failures = GaugeMetricFamily("webinfer_model_failures", "Failures of a model in a row", labels=MODEL)
    for state in map(str, BreakerState):
        failing.add_metric([state], counts[state])
    for row in rows:
        failures.add_metric(_model_labels(row), row.failures)
    yield from (failing, failures)
    states = ((_model_labels(row), row.breaker) for row in rows)
    yield _state_gauge(
        "webinfer_model_breaker", "1 for the state a failing model's breaker is in", MODEL, states
    )


def _model_labels(row: FailingModelRow) -> list[str]:
    return [row.worker, row.model, row.revision, row.precision, row.flags]


def _state_gauge(
    name: str, text: str, labels: tuple[str, ...], states: Iterable[tuple[list[str], str]]
) -> Metric:
    """One sample for each state of each breaker, 1 for the one it is in."""
    gauge = GaugeMetricFamily(name, text, labels=(*labels, "state"))
    for values, now_in in states:
        for state in map(str, BreakerState):
            gauge.add_metric([*values, state], float(now_in == state))
    return gauge


def _queue_gauges(board: Board) -> Iterator[Metric]:
    depth = GaugeMetricFamily("webinfer_queue_depth", "Messages that wait", labels=("queue",))
    workers = GaugeMetricFamily("webinfer_queue_workers", "Live workers of a queue", labels=("queue",))
    desired = GaugeMetricFamily("webinfer_queue_desired_workers", "As autoscaling decided", labels=("queue",))
    for row in board.queues:
        depth.add_metric([row.queue], row.depth)
        workers.add_metric([row.queue], len(row.workers))
        if row.desired is not None:
            desired.add_metric([row.queue], row.desired.n)
    yield from (depth, workers, desired)
    for name, text, value in (
        ("unacked", "Messages that workers hold", board.unacked),
        ("dead_letters", "Messages that could not be tasks", board.dead_letters),
        ("telemetry_entries", "Batches that wait for the history", board.telemetry_entries),
    ):
        if value is not None:
            yield GaugeMetricFamily(f"webinfer_{name}", text, value=value)
    if board.memory is not None:
        used, limit = board.memory.used, board.memory.limit
        yield GaugeMetricFamily("webinfer_redis_memory_bytes", "Memory that Redis uses", value=used)
        text = "Redis's maxmemory, else the machine's"
        yield GaugeMetricFamily("webinfer_redis_memory_limit_bytes", text, value=limit)
    text = "Seconds that a worker's clock is ahead of Redis's"
    ahead = GaugeMetricFamily("webinfer_worker_clock_ahead_seconds", text, labels=("worker",))
    for worker, ahead_s in board.clocks.items():
        ahead.add_metric([worker], ahead_s)
    yield ahead


def _performance_gauges(measurements: Measurements | None) -> Iterator[Metric]:
    lines = measurements.lines if measurements else []
    columns: dict[str, Callable[[ModelLine], list[float | None]]] = {
        "latency_p50": lambda line: line.p50_ms,
        "latency_p95": lambda line: line.p95_ms,
        "queue_wait_p95": lambda line: line.queue_p95_ms,
    }
    for name, values_of in columns.items():
        text = f"{name.replace('_', ' ')} of the newest minute with runs"
        gauge = GaugeMetricFamily(f"webinfer_{name}_seconds", text, labels=LINE)
        for line in lines:
            value = latest_of(values_of(line))
            if value is not None:
                gauge.add_metric([line.model, line.browser, line.backend], value / 1000)
        yield gauge
    found = GaugeMetricFamily(
        "webinfer_changes", "Changes found in the last hour's runs", labels=("direction", "severity")
    )
    changes = measurements.changes if measurements else []
    for labels, n in Counter((str(each.direction), str(each.severity)) for each in changes).items():
        found.add_metric(list(labels), n)
    yield found
    up = GaugeMetricFamily("webinfer_history_up", "1 where the history answered")
    if measurements:
        up.add_metric([], float(measurements.problem is None))
    yield up
