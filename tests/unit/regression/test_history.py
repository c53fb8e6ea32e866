"""From runs in a real history to changes in it, once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scheduler.history.history import History
from scheduler.regression.tasks import analyse_history
from scheduler.settings import SchedulerSettings
from tasks.telemetry import Row

SETTINGS = SchedulerSettings()
START_S = 1_800_000_000
QUICK_S = 20.0
CHANGED_AT_S = START_S + 30 * 3600
SERIES = json.dumps(
    {"model": "m", "browser": "chrome", "backend": "wasm", "precision": "fp32", "batch_size": 2}
    | {"os": None, "adapter": None, "flags": "{}"}
)


def runs(
    n_samples: int,
    latency_ms: float,
    *,
    start: int = 0,
    seed: int = 1,
    since_s: float = START_S,
    **others: Any,
) -> list[Row]:
    """Three runs a quick sample, one of them 50 % slower than the others."""
    rng = np.random.default_rng(seed)
    found: list[Row] = []
    for sample in range(start, start + n_samples):
        level = latency_ms * (1 + 0.03 * rng.standard_normal())
        for k, ratio in enumerate((1.0, 1.5, 0.99)):
            values = {
                "at": since_s + QUICK_S * sample + 5 * k,
                "model": "m",
                "browser": "chrome",
                "backend": "wasm",
                "precision": "fp32",
                "batch_size": 2,
                "browser_build": "156.0",
                "webinfer_version": "0.1.0",
                "revision": "r1",
                "ok": True,
                "compute_ms": level * ratio - 2,
                "readback_ms": 1.0,
                "bridge_ms": 1.0,
                "queue_ms": 50.0 * k,
                "memory_mb": 300.0,
                "flags": "{}",
            }
            found.append(("runs", values | others))
    return found


@pytest.fixture
def history(tmp_path: Path) -> Any:
    with History(tmp_path / "h.duckdb") as opened:
        yield opened


def analyse_until(history: History, sample: int) -> list[Any]:
    return analyse_history(history, SETTINGS, QUICK_S, START_S + QUICK_S * sample).changes


def test_a_slowdown_is_found_within_minutes_and_told_once(history: History) -> None:
    history.append(runs(40, 10.0) + runs(10, 14.0, start=40, seed=2))
    assert analyse_until(history, 40) == []
    found = analyse_until(history, 50)
    assert [(change.metric, change.direction) for change in found] == [
        ("latency", "regression"),
        ("throughput", "regression"),
    ]
    assert found[0].changed_at == START_S + 40 * QUICK_S
    assert found[0].before == pytest.approx(10, rel=0.05)
    assert found[0].effect == pytest.approx(0.4, abs=0.06)
    assert analyse_until(history, 50) == []
    history.append(runs(20, 14.0, start=50, seed=3))
    assert analyse_until(history, 70) == []
    assert len(history.query("regression_known", since_s=0)) == 2


def test_the_slow_samples_do_not_tell_it_again(history: History) -> None:
    rng = np.random.default_rng(4)
    rows = [
        row
        for hour in range(40)
        for row in runs(
            2,
            10.0 * (1 + 0.01 * rng.standard_normal()) * (1.4 if hour >= 30 else 1),
            start=hour * 180,
            seed=hour,
        )
    ]
    history.append(rows)
    until_s = START_S + 40 * 3600.0
    quick = [{"metric": "latency", "sample_s": 20.0}, {"metric": "throughput", "sample_s": 20.0}]
    told = [
        change | {"series": SERIES, "direction": "regression", "changed_at": CHANGED_AT_S} for change in quick
    ]
    history.append([("changes", change) for change in told])
    assert analyse_history(history, SETTINGS, 3600.0, until_s).changes == []
    history.read("DELETE FROM changes")
    first = analyse_history(history, SETTINGS, 3600.0, until_s)
    assert {change.metric for change in first.changes} == {"latency", "throughput"}
    assert analyse_history(history, SETTINGS, 3600.0, until_s).changes == []


@pytest.mark.parametrize(
    "others",
    [{"ok": False}, {"is_simulation": True}, {"load_ms": 400.0}, {"backend": None}],
    ids=lambda others: next(iter(others)),
)
def test_failed_simulated_and_cold_runs_are_no_samples(history: History, others: dict[str, Any]) -> None:
    history.append(runs(40, 10.0) + runs(20, 30.0, start=40, **others))
    assert analyse_until(history, 60) == []


def test_an_update_of_the_browser_is_told_as_the_cause(history: History) -> None:
    history.append(runs(40, 10.0) + runs(20, 14.0, start=40, seed=2, browser_build="157.0"))
    found = analyse_until(history, 60)
    assert {change.cause for change in found} == {"browser_build 156.0 -> 157.0"}
    kept = history.read("SELECT cause, severity, sample_s, n_before FROM changes WHERE metric = 'latency'")
    assert kept == [
        {"cause": "browser_build 156.0 -> 157.0", "severity": "high", "sample_s": 20.0, "n_before": 40}
    ]


def test_hostile_names_stay_names(history: History) -> None:
    name = 'm"; DROP TABLE runs; --<script>'
    history.append(runs(40, 10.0, model=name) + runs(10, 14.0, start=40, model=name))
    assert name in analyse_until(history, 50)[0].series.encode().decode("unicode_escape")
