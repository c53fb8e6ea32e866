"""The task itself: from a history on disk to changes in it and to the states in a real Redis."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.history.owner import close_history, history
from scheduler.regression.tasks import find_changes
from tasks import app
from tasks.keys import RedisKeys
from tests.unit.regression.test_history import QUICK_S, runs

pytestmark = pytest.mark.redis


@pytest.fixture(autouse=True)
def own_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A history and states of this test's own."""
    close_history()
    monkeypatch.setenv("WEBINFER_HISTORY_PATH", str(tmp_path / "history.duckdb"))
    yield
    close_history()
    app.redis.delete(RedisKeys(app.settings.redis_prefix).regression)


def test_a_slowdown_of_the_last_minutes_is_kept_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = time.time()
    monkeypatch.setattr("scheduler.regression.tasks.time.time", lambda: now_s)  # no sample ends meanwhile
    start_s = now_s // QUICK_S * QUICK_S - 60 * QUICK_S
    slower = [*runs(50, 10.0, since_s=start_s), *runs(10, 14.0, start=50, seed=2, since_s=start_s)]
    history().append(slower)
    found = find_changes()
    assert (found["regression"], found["improvement"]) == (2, 0)
    kept = history().read("SELECT metric, severity FROM changes ORDER BY metric")
    assert kept == [{"metric": "latency", "severity": "high"}, {"metric": "throughput", "severity": "high"}]
    told = json.loads(app.redis.hget(RedisKeys(app.settings.redis_prefix).regression, str(QUICK_S)) or "{}")
    shapes = {state["metric"]: state["shape"] for state in told["series"]}
    assert shapes == {"latency": "short", "throughput": "short", "memory": "steady"}


def test_without_new_samples_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = time.time()
    monkeypatch.setattr("scheduler.regression.tasks.time.time", lambda: now_s)
    history().append(runs(30, 10.0, since_s=now_s // QUICK_S * QUICK_S - 30 * QUICK_S))
    assert find_changes()["series"] > 0
    assert find_changes()["series"] == 0
