"""What the answer to a canary, its silence, and a queue without a worker mean."""

from __future__ import annotations

from typing import Any

import pytest

from scheduler.health.canaries import (
    DIGITS,
    Pending,
    judge_answer,
    judge_silence,
    judge_unserved,
    read_digit,
)

REPLY = {
    "output": {"labels": [{"label": "7", "score": 0.9}]},
    "browser_build": "Chromium 156",
    "backend": "wasm",
}


def test_the_right_answer() -> None:
    found = judge_answer(REPLY, "7", 10.0, 10.25)
    assert found.ok and found.state == "answered" and found.latency_ms == 250.0
    assert found.reason == "digits-vit read a 7 (Chromium 156, wasm)"


@pytest.mark.parametrize("reply", [None, {}, {"output": []}, {"output": {"labels": []}}])
def test_an_answer_that_is_none(reply: Any) -> None:
    found = judge_answer(reply, "7", 10.0, 10.25)
    assert (found.ok, found.state) == (False, "wrong")


def test_a_wrong_answer_says_what_and_where() -> None:
    found = judge_answer(REPLY, "4", 10.0, 10.25)
    assert not found.ok and found.reason == "digits-vit read '7' on a 4 (Chromium 156, wasm)"


def test_silence_is_judged_when_it_is_over() -> None:
    pending = Pending("x", 100.0)
    assert judge_silence(pending, 3, 160.0, 60.0) is None
    assert judge_silence(None, 3, 900.0, 60.0) is None
    found = judge_silence(pending, 3, 161.0, 60.0)
    assert found is not None and found.state == "silent" and "3 messages wait" in found.reason


def test_nobody_misses_a_queue_that_was_never_served() -> None:
    assert judge_unserved(was_served=False, n_waiting=0, now=1.0) is None
    for was_served, n_waiting in [(True, 0), (False, 2)]:
        found = judge_unserved(was_served, n_waiting, 1.0)
        assert found is not None and not found.ok and found.state == "unserved"


def test_the_pictures_are_there() -> None:
    assert all(read_digit(digit).startswith(b"\x89PNG") for digit in DIGITS)
