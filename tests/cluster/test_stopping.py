"""Workers that end, politely or not: nothing is lost, and the browsers are closed."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from browser_runtime.contract.errors import GivenUp
from tasks import app, infer
from tasks.keys import UNACKED
from tests.cluster.conftest import REDELIVERY_S, StartWorker


def request(name: str, **options: Any) -> dict[str, Any]:
    return {
        "model_type": "vision",
        "model_name": name,
        "inputs": np.zeros((2, 2), np.uint8),
        "options": options,
    }


def await_line(log: Path, line: str) -> None:
    deadline = time.monotonic() + 60
    while not log.exists() or line not in log.read_text():
        assert time.monotonic() < deadline, f"{line!r} is not in {log}"
        time.sleep(0.02)  # a log file has no event


def test_sigterm_answers_what_is_in_flight_then_closes(start_worker: StartWorker, tmp_path: Path) -> None:
    log, done = tmp_path / "runner.log", tmp_path / "done"
    worker = start_worker(MEMORY_RUNNER_LOG=str(log), WEBINFER_GRACE_S="60").ready()
    result = infer.delay(**request("slow", until=str(done)))
    await_line(log, "run slow")
    worker.process.send_signal(signal.SIGTERM)
    await_line(worker.log, "worker: Warm shutdown")
    assert not result.ready()
    done.touch()
    assert worker.process.wait(60) == 0
    assert result.get(timeout=60)["success"]
    assert log.read_text().split("\n")[:2] == ["run slow", "closed"]
    assert app.redis.hlen(UNACKED) == 0, "acknowledged before the worker ended"


def test_what_outlasts_the_grace_time_goes_to_another_worker(
    start_worker: StartWorker, tmp_path: Path
) -> None:
    log, done = tmp_path / "runner.log", tmp_path / "done"
    worker = start_worker(MEMORY_RUNNER_LOG=str(log), WEBINFER_GRACE_S="0.5").ready()
    result = infer.delay(**request("slow", until=str(done)))
    await_line(log, "run slow")
    assert worker.stop(signal.SIGTERM) == 0
    assert "closed" in log.read_text() and not result.ready()
    done.touch()
    start_worker().ready()
    assert result.get(timeout=60)["success"]


def test_sigquit_hands_back_at_once(start_worker: StartWorker, tmp_path: Path) -> None:
    log, done = tmp_path / "runner.log", tmp_path / "done"
    worker = start_worker(MEMORY_RUNNER_LOG=str(log), WEBINFER_GRACE_S="0").ready()
    result = infer.delay(**request("slow", until=str(done)))
    await_line(log, "run slow")
    worker.stop(signal.SIGQUIT)
    assert "closed" in log.read_text() and not result.ready()
    done.touch()
    start_worker().ready()
    assert result.get(timeout=60)["success"]


def test_a_killed_workers_tasks_go_elsewhere_within_seconds(
    start_worker: StartWorker, tmp_path: Path
) -> None:
    log, done = tmp_path / "runner.log", tmp_path / "done"
    doomed = start_worker(MEMORY_RUNNER_LOG=str(log)).ready()
    results = [infer.delay(**request("slow", until=str(done))) for _ in range(4)]
    await_line(log, "run slow")
    doomed.stop(signal.SIGKILL)
    done.touch()
    start_worker().ready()
    assert all(result.get(timeout=60)["success"] for result in results)  # Celery's own are an hour


def test_a_task_longer_than_the_redelivery_time_runs_once(start_worker: StartWorker, tmp_path: Path) -> None:
    log = tmp_path / "runner.log"
    for _ in range(2):
        start_worker(MEMORY_RUNNER_LOG=str(log)).ready()
    result = infer.delay(**request("long", sleep_s=REDELIVERY_S * 2.5))
    assert result.get(timeout=60)["success"]
    assert log.read_text().count("run long") == 1


def test_a_message_that_ends_every_worker_is_given_up(start_worker: StartWorker, tmp_path: Path) -> None:
    log = tmp_path / "runner.log"
    result = infer.delay(**request("poison", exit=True))
    for _ in range(app.settings.max_deliveries):
        victim = start_worker(MEMORY_RUNNER_LOG=str(log))
        victim.process.wait(60)
    start_worker(MEMORY_RUNNER_LOG=str(log)).ready()
    with pytest.raises(GivenUp, match="given up after 3 deliveries"):
        result.get(timeout=60)
    assert log.read_text().count("run poison") == app.settings.max_deliveries
    letters = app.redis.xrevrange("webinfer:dead-letters", count=1)
    assert letters[0][1][b"id"].decode() == result.id
    assert infer.delay(**request("after")).get(timeout=60)["success"]
