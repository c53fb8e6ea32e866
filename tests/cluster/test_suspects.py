"""A worker dies with many requests in flight: the others are answered, only the guilty one is given up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from browser_runtime.contract.errors import GivenUp
from tasks import infer
from tests.cluster.conftest import StartWorker, until

N = 12
VISION: dict[str, Any] = {"model_type": "vision", "inputs": np.zeros((2, 2), np.uint8)}


def test_of_twelve_in_flight_only_the_guilty_is_given_up(start_worker: StartWorker, tmp_path: Path) -> None:
    log, all_run, is_dead = tmp_path / "runs", tmp_path / "all-run", tmp_path / "dead"
    environment = {"MEMORY_RUNNER_LOG": str(log)}
    first = start_worker("-c", "16", **environment).ready()
    innocent = [
        infer.delay(**VISION, model_name=f"m{number}", options={"until": str(is_dead)})
        for number in range(N - 1)
    ]
    guilty = infer.delay(**VISION, model_name="guilty", options={"until": str(all_run), "exit": True})
    until(lambda: log.exists() and log.read_text().count("run ") == N)
    all_run.touch()
    until(lambda: first.process.poll() is not None)
    is_dead.touch()
    # Two more die by it, one after the other; the last one buries it.
    for _ in range(3):
        start_worker("-c", "16", **environment)
    assert all(result.get(timeout=90)["success"] for result in innocent)
    with pytest.raises(GivenUp, match="given up after 3 deliveries"):
        guilty.get(timeout=90)
    runs = log.read_text().splitlines()
    assert runs.count("run guilty") == 3


def test_one_that_was_handed_back_is_no_suspect(start_worker: StartWorker, tmp_path: Path) -> None:
    """Many that a stopping worker returned run together again, not one by one."""
    log, done = tmp_path / "runs", tmp_path / "done"
    first = start_worker("-c", "8", MEMORY_RUNNER_LOG=str(log), WEBINFER_GRACE_S="0").ready()
    sent = [
        infer.delay(**VISION, model_name=f"m{number}", options={"until": str(done)}) for number in range(8)
    ]
    until(lambda: log.exists() and log.read_text().count("run ") == 8)
    first.stop()
    second = tmp_path / "again"
    start_worker("-c", "8", MEMORY_RUNNER_LOG=str(second))
    until(lambda: second.exists() and second.read_text().count("run ") == 8)
    assert not any(result.ready() for result in sent), "all eight began before the first ended"
    done.touch()
    assert all(result.get(timeout=60)["success"] for result in sent)
