"""What is wrong, from what was seen."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from scheduler.alerts.alert import Severity
from scheduler.alerts.conditions import (
    AlertThresholds,
    BeatHealth,
    Conditions,
    DeadLetter,
    ErrorCount,
    OpenBreaker,
    QueueHealth,
    RedisState,
    Regression,
)
from scheduler.alerts.observing import EXCUSED
from scheduler.alerts.rules import RULES, judge, least_share
from scheduler.history.history import History
from tasks.telemetry import Row

FINE = Conditions(
    regressions=[],
    breakers=[],
    errors=[],
    queues=[QueueHealth("edge", True, "", 10)],
    beat=BeatHealth(0),
    letters=[],
    redis=RedisState(1, 10, 0.8, saves_fail=False, clocks={"w@h": 0.01}),
)
SLOWER = Regression("bert on firefox", "latency", 10.0, 13.0, "medium", "2026-11-02 10:00")
MUCH_SLOWER = replace(SLOWER, severity="high")
OPEN = OpenBreaker("w1@host", "chrome", "chrome-0")
SOME_FAIL = ErrorCount("bert", "edge", 40, 10, "PageFault 10")
MOST_FAIL = ErrorCount("bert", "edge", 40, 39, "PageFault 39")
WRONG = QueueHealth("edge", False, "no answer in 10 s", 3)


def keys(seen: Conditions) -> list[str]:
    return [alert.key for alert in judge(seen, AlertThresholds())[0]]


def test_nothing_is_wrong_when_all_is_well() -> None:
    assert judge(FINE, AlertThresholds()) == ([], frozenset())


def test_each_source_that_could_not_be_seen_is_named() -> None:
    _, unseen = judge(Conditions(), AlertThresholds())
    assert unseen == set(RULES) - {"history"}


@pytest.mark.parametrize(
    ("seen", "key", "severity"),
    [
        (replace(FINE, regressions=[SLOWER]), "regression:latency:bert on firefox", Severity.MEDIUM),
        (replace(FINE, regressions=[MUCH_SLOWER]), "regression:latency:bert on firefox", Severity.HIGH),
        (replace(FINE, breakers=[OPEN]), "breaker:w1@host", Severity.MEDIUM),
        (replace(FINE, errors=[SOME_FAIL]), "errors:bert on edge", Severity.MEDIUM),
        (replace(FINE, errors=[MOST_FAIL]), "errors:bert on edge", Severity.HIGH),
        (replace(FINE, queues=[WRONG]), "queue:edge", Severity.HIGH),
        (replace(FINE, queues=[QueueHealth("edge", True, "", 301)]), "queue:edge", Severity.HIGH),
        (replace(FINE, beat=BeatHealth(31)), "beat:silent", Severity.HIGH),
        (replace(FINE, beat=BeatHealth(0, ("drain",))), "beat:late", Severity.MEDIUM),
        (replace(FINE, letters=[DeadLetter("no id", "edge")]), "letters:edge", Severity.MEDIUM),
        (replace(FINE, history_away_s=61), "history:away", Severity.HIGH),
    ],
)  # fmt: skip
def test_each_rule_finds_its_fault(seen: Conditions, key: str, severity: Severity) -> None:
    (alert,) = judge(seen, AlertThresholds())[0]
    assert (alert.key, alert.severity) == (key, severity)
    assert alert.source in RULES


@pytest.mark.parametrize(
    "seen",
    [
        replace(FINE, regressions=[replace(SLOWER, severity="low")]),
        replace(FINE, queues=[QueueHealth("edge", True, "", 300)]),
        replace(FINE, beat=BeatHealth(30)),
        replace(FINE, history_away_s=60),
    ],
)
def test_what_is_within_the_limits_is_no_alert(seen: Conditions) -> None:
    assert keys(seen) == []


def test_the_sentence_of_a_regression_says_from_what_to_what() -> None:
    (alert,) = judge(replace(FINE, regressions=[SLOWER]), AlertThresholds())[0]
    assert "from 10 to 13 ms (+30.0%)" in alert.text
    assert "At the same time" not in alert.text


def test_what_changed_with_it_is_named() -> None:
    updated = replace(SLOWER, cause="browser_build 149 -> 150")
    (alert,) = judge(replace(FINE, regressions=[updated]), AlertThresholds())[0]
    assert "At the same time: browser_build 149 -> 150." in alert.text


def test_without_a_beat_old_canaries_are_no_further_alerts() -> None:
    old = QueueHealth("edge", True, "", 900)
    assert keys(replace(FINE, queues=[old, WRONG], beat=BeatHealth(100, ("drain",)))) == [
        "queue:edge",
        "beat:silent",
    ]


def test_sessions_of_one_worker_are_one_alert() -> None:
    other = replace(OPEN, session="chrome-1")
    elsewhere = replace(OPEN, worker="w2@host")
    found = judge(replace(FINE, breakers=[other, OPEN, elsewhere]), AlertThresholds())[0]
    assert [alert.key for alert in found] == ["breaker:w1@host", "breaker:w2@host"]
    assert "chrome-0, chrome-1" in found[0].text


def test_dead_letters_are_counted_by_queue_and_show_no_content() -> None:
    letters = [DeadLetter("no id", "edge"), DeadLetter("not JSON", "edge"), DeadLetter("no id", "")]
    found = judge(replace(FINE, letters=letters), AlertThresholds())[0]
    assert [alert.key for alert in found] == ["letters:edge", "letters:an unknown queue"]
    assert found[0].text.startswith("2 messages of edge")
    assert "not JSON" in found[0].text


def test_few_failures_of_few_runs_say_little_and_the_usual_ones_nothing() -> None:
    for n, n_failed in ((1, 1), (4, 4), (40, 4), (1000, 100)):
        assert keys(replace(FINE, errors=[ErrorCount("bert", "edge", n, n_failed, "")])) == [], (n, n_failed)
    for n, n_failed in ((5, 5), (40, 9), (1000, 120)):
        assert keys(replace(FINE, errors=[ErrorCount("bert", "edge", n, n_failed, "")])), (n, n_failed)
    found = replace(FINE, errors=[ErrorCount("bert", "edge", 40, 9, "PageFault 8, Busy 1")])
    (alert,) = judge(found, AlertThresholds())[0]
    assert alert.title == "22% of the runs of bert on edge fail"
    assert "9 of 40 runs" in alert.text and "PageFault 8, Busy 1" in alert.text
    assert not judge(found, AlertThresholds(error_rate=0.3))[0]


@given(st.integers(1, 5000), st.data())
def test_the_share_that_fails_at_least_is_scipys(n: int, data: st.DataObject) -> None:
    n_failed = data.draw(st.integers(0, n))
    interval = binomtest(n_failed, n).proportion_ci(confidence_level=0.9, method="wilson")
    assert least_share(n_failed, n) == pytest.approx(interval.low, abs=1e-4)


def test_errors_are_counted_by_model_and_browser_and_a_bad_request_is_nobodys_fault(tmp_path: Path) -> None:
    now_s = time.time()

    def runs(n: int, model: str = "bert", **more: Any) -> list[Row]:
        run = {"at": now_s - 60, "model": model, "browser": "edge", "ok": True}
        return [("runs", run | more)] * n

    rows = [
        *runs(20),
        *runs(5, ok=False, error_code="PageFault"),
        *runs(2, ok=False, error_code="Busy"),
        *runs(9, ok=False, error_code="BadInput"),
        *runs(50, ok=False, error_code="PageFault", at=now_s - 7200),
        *runs(30, "vit"),
        *runs(3, "vit", ok=False, error_code="UnknownModel"),
        *runs(1, "vit", browser="chrome", ok=False, error_code=None),
    ]
    with History(tmp_path / "history.duckdb") as history:
        history.append(rows)
        found = history.query("alerts_errors", since_s=now_s - 900, excused=",".join(EXCUSED))
    told = [ErrorCount(**row) for row in found]
    assert told == [
        ErrorCount("bert", "edge", 27, 7, "PageFault 5, Busy 2"),
        ErrorCount("vit", "chrome", 1, 1, "unknown 1"),
    ]


def test_a_redis_that_is_full_or_cannot_save_and_wrong_clocks_are_alerts() -> None:
    state = RedisState(9, 10, 0.8, saves_fail=True, clocks={"a@h": -120.0, "b@h": 1.0, "c@h": 3.0})
    found, unseen = judge(replace(FINE, redis=state), AlertThresholds())
    assert not unseen
    assert [alert.key for alert in found] == ["redis:memory", "redis:saving", "clock:a@h", "clock:c@h"]
    assert "120.0 s behind" in found[2].text
