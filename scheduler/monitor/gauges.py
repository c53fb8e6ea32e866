"""The pages' figures as Prometheus gauges, made at each scrape: what has gone leaves no stale series."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from browser_runtime.contract.status import BreakerState
from scheduler.monitor.performance import latest_of

SESSION = ("worker", "browser", "session")
LINE = ("model", "browser", "backend")


class MonitorCollector(Collector):
    """Told where to find the three pages' values; any of them may be empty."""

    def __init__(
        self,
        sessions: Callable[[], list[dict[str, Any]]],
        queues: Callable[[], dict[str, Any]],
        performance: Callable[[], dict[str, Any]],
    ) -> None:
        self._sessions, self._queues, self._performance = sessions, queues, performance

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are known only at a scrape."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every gauge."""
        yield from _session_gauges(self._sessions())
        yield from _queue_gauges(self._queues())
        yield from _performance_gauges(self._performance())


def _session_gauges(rows: list[dict[str, Any]]) -> Iterator[Metric]:
    columns = {
        "health": ("Health of a browser session, 0 to 100", "health"),
        "memory_bytes": ("Proportional memory (PSS) of a session's processes", "memory_bytes"),
        "busy_lanes": ("Lanes that compute", "n_busy"),
        "runs": ("Runs since the session started", "runs"),
        "silent": ("1 where nothing has been heard for 15 s", "silent"),
    }
    for name, (text, column) in columns.items():
        gauge = GaugeMetricFamily(f"webinfer_session_{name}", text, labels=SESSION)
        for row in rows:
            if row[column] is not None:
                gauge.add_metric([row[label] for label in SESSION], float(row[column]))
        yield gauge
    yield _state_gauge("webinfer_session_breaker", "1 for the state the breaker is in", rows)


def _state_gauge(name: str, text: str, rows: list[dict[str, Any]]) -> Metric:
    gauge = GaugeMetricFamily(name, text, labels=(*SESSION, "state"))
    for row in rows:
        for state in map(str, BreakerState):
            gauge.add_metric([*(row[label] for label in SESSION), state], float(row["breaker"] == state))
    return gauge


def _queue_gauges(board: dict[str, Any]) -> Iterator[Metric]:
    depth = GaugeMetricFamily("webinfer_queue_depth", "Messages that wait", labels=("queue",))
    workers = GaugeMetricFamily("webinfer_queue_workers", "Live workers of a queue", labels=("queue",))
    desired = GaugeMetricFamily("webinfer_queue_desired_workers", "As autoscaling decided", labels=("queue",))
    for queue in board.get("queues", ()):
        depth.add_metric([queue["queue"]], queue["depth"])
        workers.add_metric([queue["queue"]], len(queue["workers"]))
        n = (queue["desired"] or {}).get("n")
        if isinstance(n, (int, float)):
            desired.add_metric([queue["queue"]], n)
    yield from (depth, workers, desired)
    for name, text in (
        ("unacked", "Messages that workers hold"),
        ("dead_letters", "Messages that could not be tasks"),
        ("telemetry_entries", "Batches that wait for the history"),
    ):
        if name in board:
            yield GaugeMetricFamily(f"webinfer_{name}", text, value=board[name])


def _performance_gauges(performance: dict[str, Any]) -> Iterator[Metric]:
    measures = (("latency_p50", "p50_ms"), ("latency_p95", "p95_ms"), ("queue_wait_p95", "queue_p95_ms"))
    for name, measure in measures:
        text = f"{name.replace('_', ' ')} of the newest minute with runs"
        gauge = GaugeMetricFamily(f"webinfer_{name}_seconds", text, labels=LINE)
        for line in performance.get("lines", ()):
            value = latest_of(line, measure)
            if value is not None:
                gauge.add_metric([line[label] for label in LINE], value / 1000)
        yield gauge
    found = GaugeMetricFamily(
        "webinfer_changes", "Changes found in the last hour's runs", labels=("direction", "severity")
    )
    counts: dict[tuple[str, str], int] = {}
    for change in performance.get("changes", ()):
        key = (str(change.get("direction")), str(change.get("severity")))
        counts[key] = counts.get(key, 0) + 1
    for labels, n in counts.items():
        found.add_metric(list(labels), n)
    yield found
    up = GaugeMetricFamily("webinfer_history_up", "1 where the history answered")
    if performance:
        up.add_metric([], float(performance.get("problem") is None))
    yield up
