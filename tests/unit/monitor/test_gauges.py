"""Gauges say what the pages say, hostile names included, and nothing of what has gone."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.sharing import KeptResults, LaneSharing, SharedGraphs
from browser_runtime.contract.status import (
    BreakerCounts,
    BreakerState,
    FailingModel,
    FailingModels,
    LaneStatus,
    SessionStatus,
)
from browser_runtime.contract.vocabulary import Browser, Precision
from scheduler.autoscaling.desired import DesiredWorkers
from scheduler.monitor.failing_models import ModelBook
from scheduler.monitor.gauges import Figures, MonitorCollector
from scheduler.monitor.performance import Change, Measurements, ModelLine
from scheduler.monitor.queues import Board, QueueRow
from scheduler.monitor.sessions import SessionBook

HOSTILE = '"}\n<script>alert(1)</script>\\'


def scrape(figures: Figures) -> dict[tuple[str, ...], float]:
    registry = CollectorRegistry()
    registry.register(MonitorCollector(lambda: figures))
    text = generate_latest(registry).decode()
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_sessions() -> None:
    book = SessionBook()
    breaker = BreakerCounts(BreakerState.OPEN)
    shared = LaneSharing(SharedGraphs(n_parts=2, n_references=3, saved_bytes=70), KeptResults(hits=4))
    lanes = (LaneStatus(sharing=shared), LaneStatus(sharing=shared))
    status = SessionStatus(HOSTILE, Browser.CHROME, lanes=lanes, health=70.5, runs=3, breaker=breaker)
    book.hear({"hostname": "w@h"} | status.to_wire(), 0)
    found = scrape(Figures(sessions=book.rows(0)))
    assert found["webinfer_session_health", *sorted((HOSTILE, "chrome", "w@h"))] == 70.5
    assert found["webinfer_session_shared_saved_bytes", *sorted((HOSTILE, "chrome", "w@h"))] == 140
    assert found["webinfer_session_shared_hits", *sorted((HOSTILE, "chrome", "w@h"))] == 8
    states = {key: value for key, value in found.items() if key[0] == "webinfer_session_breaker"}
    assert len(states) == 3 and [key for key, value in states.items() if value] == [
        ("webinfer_session_breaker", *sorted((HOSTILE, "OPEN", "chrome", "w@h")))
    ]
    assert not [key for key in found if key[0] == "webinfer_session_memory_bytes"]


def test_failing_models() -> None:
    book = ModelBook()
    key = ModelKey.of("odd", "abc", None, Precision.FP16, ("x",))
    failing = FailingModel(BreakerCounts(BreakerState.OPEN, failures=5), HOSTILE)
    book.hear({"hostname": "w@h"} | FailingModels({key: failing}).to_wire(), 0)
    found = scrape(Figures(failing_models=book.rows(0)))
    labels = ("w@h", "odd", "abc", "fp16", "x")
    assert found["webinfer_model_failures", *sorted(labels)] == 5
    assert found["webinfer_model_breaker", *sorted((*labels, "OPEN"))] == 1
    assert found["webinfer_model_breaker", *sorted((*labels, "CLOSED"))] == 0
    assert (found["webinfer_failing_models", "OPEN"], found["webinfer_failing_models", "CLOSED"]) == (1, 0)
    assert scrape(Figures())["webinfer_failing_models", "OPEN"] == 0  # an alert needs the zero


def test_queues() -> None:
    row = QueueRow("chrome-vision", 7, ["a", "b"], DesiredWorkers("chrome-vision", 3, (), "", 0.0), None)
    board = Board([row, QueueRow("other", 0, [], None, None)], unacked=2, dead_letters=1)
    found = scrape(Figures(board=board))
    assert found["webinfer_queue_depth", "chrome-vision"] == 7
    assert found["webinfer_queue_workers", "chrome-vision"] == 2
    assert found["webinfer_queue_desired_workers", "chrome-vision"] == 3
    assert ("webinfer_queue_desired_workers", "other") not in found
    assert found["webinfer_unacked",] == 2 and found["webinfer_dead_letters",] == 1
    assert ("webinfer_telemetry_entries",) not in found  # not read yet


def test_performance() -> None:
    line = ModelLine(
        HOSTILE, "chrome", "wasm", [1, 1], [0, 0], [10.0, None], [20.0, 30.0], [None, None], [None, None]
    )
    change = Change("{}", "latency", 0.0, 20.0, 32.0, None, None, "critical", "regression", None)
    measured = Measurements(1, 60, lines=[line], changes=[change, change])
    found = scrape(Figures(measurements=measured))
    labels = sorted((HOSTILE, "chrome", "wasm"))
    assert found["webinfer_latency_p50_seconds", *labels] == 0.01
    assert found["webinfer_latency_p95_seconds", *labels] == 0.03
    assert ("webinfer_queue_wait_p95_seconds", *labels) not in found
    assert found["webinfer_changes", "critical", "regression"] == 2
    assert found["webinfer_history_up",] == 1
    away = Measurements(1, 60, problem="away")
    assert scrape(Figures(measurements=away))["webinfer_history_up",] == 0
    assert ("webinfer_history_up",) not in scrape(Figures())  # not asked yet
