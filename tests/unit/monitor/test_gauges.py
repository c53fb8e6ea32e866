"""Gauges say what the pages say, hostile names included, and nothing of what has gone."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from browser_runtime.contract.status import BreakerCounts, BreakerState, SessionStatus
from browser_runtime.contract.vocabulary import Browser
from scheduler.monitor.gauges import MonitorCollector
from scheduler.monitor.performance import nothing
from scheduler.monitor.sessions import SessionBook

HOSTILE = '"}\n<script>alert(1)</script>\\'


def scrape(sessions: Any = (), queues: Any = None, performance: Any = None) -> dict[tuple[str, ...], float]:
    registry = CollectorRegistry()
    registry.register(
        MonitorCollector(lambda: list(sessions), lambda: queues or {}, lambda: performance or {})
    )
    text = generate_latest(registry).decode()
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_sessions() -> None:
    book = SessionBook()
    breaker = BreakerCounts(BreakerState.OPEN)
    status = SessionStatus(HOSTILE, Browser.CHROME, health=70.5, runs=3, breaker=breaker)
    book.hear({"hostname": "w@h"} | status.to_wire(), 0)
    found = scrape(book.rows(0))
    assert found["webinfer_session_health", *sorted((HOSTILE, "chrome", "w@h"))] == 70.5
    states = {key: value for key, value in found.items() if key[0] == "webinfer_session_breaker"}
    assert len(states) == 3 and [key for key, value in states.items() if value] == [
        ("webinfer_session_breaker", *sorted((HOSTILE, "OPEN", "chrome", "w@h")))
    ]
    assert not [key for key in found if key[0] == "webinfer_session_memory_bytes"]


def test_queues() -> None:
    queue = {"queue": "chrome-vision", "depth": 7, "workers": ["a", "b"], "desired": {"n": 3}}
    odd = {"queue": "odd", "depth": 0, "workers": [], "desired": {"n": "many"}}
    board = {"queues": [queue, odd], "unacked": 2, "dead_letters": 1, "telemetry_entries": 0}
    found = scrape(queues=board)
    assert found["webinfer_queue_depth", "chrome-vision"] == 7
    assert found["webinfer_queue_workers", "chrome-vision"] == 2
    assert found["webinfer_queue_desired_workers", "chrome-vision"] == 3
    assert ("webinfer_queue_desired_workers", "odd") not in found
    assert found["webinfer_unacked",] == 2 and found["webinfer_dead_letters",] == 1


def test_performance() -> None:
    line = {"model": HOSTILE, "browser": "chrome", "backend": "wasm"}
    line |= {"p50_ms": [10.0, None], "p95_ms": [20.0, 30.0], "queue_p95_ms": [None, None]}
    change = {"direction": "regression", "severity": "critical"}
    told = nothing(1) | {"lines": [line], "changes": [change, change]}
    found = scrape(performance=told)
    labels = sorted((HOSTILE, "chrome", "wasm"))
    assert found["webinfer_latency_p50_seconds", *labels] == 0.01
    assert found["webinfer_latency_p95_seconds", *labels] == 0.03
    assert ("webinfer_queue_wait_p95_seconds", *labels) not in found
    assert found["webinfer_changes", "critical", "regression"] == 2
    assert found["webinfer_history_up",] == 1
    assert scrape(performance=told | {"problem": "away"})["webinfer_history_up",] == 0
