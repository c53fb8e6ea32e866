"""What ends a task early, and how many are in flight."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from celery.exceptions import SoftTimeLimitExceeded, TaskRevokedError, TimeLimitExceeded

from tasks import infer
from tests.cluster.conftest import Worker, until
from tests.cluster.memory_app import patient

QUEUE = "chrome-vision"


def sleeping(sleep_s: float) -> dict[str, object]:
    return {
        "model_type": "vision",
        "model_name": "vit-base",
        "inputs": np.zeros((2, 2), np.uint8),
        "options": {"sleep_s": sleep_s},
    }


def test_hundreds_are_in_flight_without_a_thread_each(worker: Worker, tmp_path: Path) -> None:
    done = tmp_path / "done"
    ask = {"model_type": "vision", "model_name": "held", "inputs": np.zeros((2, 2), np.uint8)}
    results = [infer.delay(**ask, options={"until": str(done)}) for _ in range(200)]
    until(lambda: worker.runs.exists() and worker.runs.read_text().count("run held") == 200)
    n_threads = psutil.Process(worker.process.pid).num_threads()
    done.touch()
    for result in results:
        result.get(timeout=60)
    assert n_threads < 50


def test_revoke_with_terminate_ends_a_running_task(worker: Worker) -> None:
    result = infer.apply_async(kwargs=sleeping(60))
    while "vit-base" not in str(worker_active(result)):
        time.sleep(0.05)
    result.revoke(terminate=True)
    with pytest.raises(TaskRevokedError):
        result.get(timeout=60)
    assert result.state == "REVOKED"


def worker_active(result: object) -> object:
    return infer.app.control.inspect(timeout=2).active()


def test_the_soft_limit_is_raised_inside_the_body(worker: Worker) -> None:
    with pytest.raises(SoftTimeLimitExceeded):
        infer.apply_async(kwargs=sleeping(60), soft_time_limit=1).get(timeout=60)
    assert patient.apply_async(("mind",), soft_time_limit=1, queue=QUEUE).get(timeout=60) == "minded"


def test_the_hard_limit_ends_it(worker: Worker) -> None:
    with pytest.raises(TimeLimitExceeded):
        infer.apply_async(kwargs=sleeping(60), time_limit=1).get(timeout=60)
