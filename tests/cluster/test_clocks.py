"""Workers whose clocks are two minutes apart: nothing runs twice, nothing is given up, and it is told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from tasks import app, infer
from tasks.broker.redis_health import read_clocks
from tasks.settings import TaskSettings
from tests.cluster.conftest import REDELIVERY_S, StartWorker, until
from webinfer.redis_examination import examine_redis

VISION: dict[str, Any] = {"model_type": "vision", "inputs": np.zeros((2, 2), np.uint8)}
# Python runs it at its start: every module then reads the wrong clock.
WRONG_CLOCK = """
import os, time
_right, _ahead_s = time.time, float(os.environ["AHEAD_S"])
time.time = lambda: _right() + _ahead_s
"""


def wrong_clock(folder: Path, ahead_s: float) -> dict[str, str]:
    (folder / "sitecustomize.py").write_text(WRONG_CLOCK)
    return {"PYTHONPATH": os.pathsep.join((str(folder), str(Path.cwd()))), "AHEAD_S": str(ahead_s)}


def test_clocks_that_differ_decide_nothing_and_are_told(
    start_worker: StartWorker, settings: TaskSettings, tmp_path: Path
) -> None:
    log = tmp_path / "runs"
    for ahead_s in (120.0, -120.0):
        start_worker("-c", "4", MEMORY_RUNNER_LOG=str(log), **wrong_clock(tmp_path, ahead_s)).ready()
    sent = [
        infer.delay(
            **VISION, model_name=f"m{number}", options={"sleep_s": 0.3 + REDELIVERY_S * 2 * (number < 6)}
        )
        for number in range(10)
    ]
    assert all(result.get(timeout=90)["success"] for result in sent)
    assert sorted(log.read_text().splitlines()) == sorted(f"run m{number}" for number in range(10))
    until(lambda: len(read_clocks(app.redis, settings.redis_prefix)) == 2)
    told = sorted(read_clocks(app.redis, settings.redis_prefix).values())
    assert [round(ahead_s) for ahead_s in told] == [-120, 120]
    problems = examine_redis(settings).problems
    assert any("120.0 s ahead" in problem for problem in problems)
    assert any("120.0 s behind" in problem for problem in problems)
