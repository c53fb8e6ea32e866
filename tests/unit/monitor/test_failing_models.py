"""The models that fail, as the latest events of each worker say."""

from __future__ import annotations

from typing import Any

import pytest

from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.status import BreakerCounts, BreakerState, FailingModel, FailingModels
from browser_runtime.contract.vocabulary import Precision
from scheduler.monitor.failing_models import ModelBook
from scheduler.monitor.sessions import FORGET_AFTER_S


def event(worker: str = "w@h", **states: BreakerState) -> dict[str, Any]:
    models = {
        ModelKey.of(name, "abc", None, Precision.FP32): FailingModel(BreakerCounts(state, failures=2), "why")
        for name, state in states.items()
    }
    return {"type": "model-health", "hostname": worker} | FailingModels(models).to_wire()


def names(book: ModelBook, now: float = 0) -> list[tuple[str, str]]:
    return [(row.worker, row.model) for row in book.rows(now)]


def test_those_that_are_refused_come_first() -> None:
    book = ModelBook()
    book.hear(event(a=BreakerState.CLOSED, b=BreakerState.HALF_OPEN, c=BreakerState.OPEN), 0)
    assert [row.model for row in book.rows(0)] == ["c", "b", "a"]
    (row, *_) = book.rows(0)
    assert (row.breaker, row.failures, row.last_error, row.precision) == ("OPEN", 2, "why", "fp32")


def test_a_model_that_recovered_is_gone_with_the_next_event() -> None:
    book = ModelBook()
    book.hear(event(a=BreakerState.OPEN), 0)
    book.hear(event("other@h", a=BreakerState.OPEN), 0)
    book.hear(event(), 5)
    assert names(book, 5) == [("other@h", "a")]


def test_a_worker_that_left_or_is_silent_for_long_is_forgotten() -> None:
    book = ModelBook()
    book.hear(event(a=BreakerState.OPEN), 0)
    assert names(book, FORGET_AFTER_S) == [("w@h", "a")]
    assert names(book, FORGET_AFTER_S + 1) == []
    book.hear(event(a=BreakerState.OPEN), 0)
    book.leave("w@h")
    assert names(book) == []


@pytest.mark.parametrize("wrong", [{"failing_models": {"no key": {}}}, {"failing_models": 3}], ids=str)
def test_an_event_that_makes_no_sense_is_counted_and_changes_nothing(wrong: dict[str, Any]) -> None:
    book = ModelBook()
    book.hear(event(a=BreakerState.OPEN), 0)
    book.hear(event() | wrong, 1)
    assert names(book) == [("w@h", "a")] and book.n_refused == 1
