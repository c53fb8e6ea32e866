"""The book of sessions: what the latest events told, who fell silent, who is gone."""

from __future__ import annotations

from typing import Any

import pytest

from browser_runtime.contract.messages import Adapter
from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.status import BreakerCounts, BreakerState, LaneStatus, SessionStatus
from browser_runtime.contract.vocabulary import Backend, Browser, Precision
from scheduler.monitor.sessions import FORGET_AFTER_S, SILENT_AFTER_S, SessionBook, summarise


def event(session: str = "chrome-1", worker: str = "w@h", **more: Any) -> dict[str, Any]:
    status = SessionStatus(session, Browser.CHROME, **more)
    return {"type": "browser-health", "hostname": worker} | status.to_wire()


def names(book: SessionBook, now: float) -> list[str]:
    return [row.session for row in book.rows(now)]


def test_the_newest_event_counts() -> None:
    book = SessionBook()
    book.hear(event(health=100), 0)
    book.hear(event(health=40), 5)
    (row,) = book.rows(6)
    assert (row.health, row.age_s, row.silent) == (40, 1, False)


def test_a_session_its_worker_no_longer_tells_of_is_gone() -> None:
    book = SessionBook()
    book.hear(event("chrome-1"), 0)
    book.hear(event("chrome-2"), SILENT_AFTER_S + 1)
    assert names(book, SILENT_AFTER_S + 1) == ["chrome-2"]


def test_a_silent_workers_sessions_are_shown_as_silent_and_then_forgotten() -> None:
    book = SessionBook()
    book.hear(event("chrome-1"), 0)
    book.hear(event("edge-1", "other@h"), SILENT_AFTER_S + 1)
    assert [row.silent for row in book.rows(SILENT_AFTER_S + 1)] == [True, False]
    assert summarise(book.rows(SILENT_AFTER_S + 1)).silent == 1
    book.hear(event("edge-1", "other@h"), FORGET_AFTER_S + 1)
    assert names(book, FORGET_AFTER_S + 1) == ["edge-1"]


def test_a_worker_that_says_goodbye_is_gone_at_once() -> None:
    book = SessionBook()
    book.hear(event(), 0)
    book.leave("w@h")
    assert book.rows(1) == []


def test_trouble_comes_first() -> None:
    book = SessionBook()
    states = {"a": (100, BreakerState.CLOSED), "b": (30, BreakerState.CLOSED), "c": (60, BreakerState.OPEN)}
    for session, (health, state) in states.items():
        book.hear(event(session, health=health, breaker=BreakerCounts(state)), 0)
    assert names(book, 0) == ["c", "b", "a"]


@pytest.mark.parametrize(
    "wrong",
    [{"session": None}, {"health": "much"}, {"lanes": "all"}, {"breaker": 3}, {"memory_bytes": {}}],
    ids=str,
)
def test_an_event_that_makes_no_sense_is_counted_and_hurts_nobody(wrong: dict[str, Any]) -> None:
    book = SessionBook()
    book.hear(event(), 0)
    book.hear(event() | wrong, 1)
    assert names(book, 1) == ["chrome-1"] and book.n_refused == 1


def test_what_a_row_tells() -> None:
    book = SessionBook()
    key = ModelKey.of("digits-vit", "abc", Backend.WEBGPU, Precision.FP16, ("x",))
    adapters = {"webgpu": Adapter("swiftshader", software=True), "wasm": Adapter("CPU", software=True)}
    heard = event(
        lanes=(LaneStatus(True, (key,)), LaneStatus()),
        adapters=adapters,
        backends={"webgpu": True, "webnn": False, "wasm": True},
        health_factors={"latency": 3.0, "drops": 0.1},
        build="Chrome 1",
    )
    book.hear(heard, 0)
    (row,) = book.rows(0)
    assert row.models == ["digits-vit on webgpu, fp16"]
    assert (row.adapter, row.is_software, row.backends) == ("swiftshader", True, ["webgpu", "wasm"])
    assert row.lowered_by == {"latency": 3.0}
    assert (row.n_busy, row.n_lanes) == (1, 2)
