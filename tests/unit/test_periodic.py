"""Threads that no error ends."""

from __future__ import annotations

import logging
import threading
from collections import Counter

import pytest

from tasks import periodic
from tasks.periodic import PeriodicThread, Turn


@pytest.fixture(autouse=True)
def failed_turns(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The counts of this process, put back behind the test."""
    monkeypatch.setattr(periodic, "failed_turns", Counter())
    return periodic.failed_turns


def test_a_turn_that_fails_is_logged_once_counted_and_taken_again(
    caplog: pytest.LogCaptureFixture, failed_turns: Counter[str]
) -> None:
    errors = iter([KeyError("junk"), KeyError("junk"), None, ValueError("other")])

    def work() -> None:
        if error := next(errors):
            raise error

    turn = Turn("a part", work)
    with caplog.at_level(logging.INFO):
        assert [turn(), turn(), turn(), turn()] == [False, False, True, False]
    assert failed_turns["a part"] == 3
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert told == [
        ("WARNING", "turn failed: part=a part error=KeyError('junk')"),
        ("INFO", "turn done again: part=a part"),
        ("WARNING", "turn failed: part=a part error=ValueError('other')"),
    ]
    assert caplog.records[0].exc_info


def test_a_thread_outlives_every_error_and_takes_a_turn_at_once_when_woken() -> None:
    taken = threading.Semaphore(0)

    def work() -> None:
        taken.release()
        raise RecursionError("whatever")

    thread = PeriodicThread("unit", work, 3600.0)
    thread.start()
    for _ in range(3):
        thread.wake()
        assert taken.acquire(timeout=10)
    thread.stop()
    assert not taken.acquire(blocking=False)
