"""The ledger: what a killed worker took and never noted is sent again, and nothing else is."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from tasks import app, infer
from tasks.keys import RedisKeys
from tests.cluster.conftest import StartWorker, until

QUEUE = "chrome-vision"
ARGUMENTS: dict[str, Any] = {"model_type": "vision", "model_name": "m", "inputs": np.zeros((2, 2), np.uint8)}


def recorded() -> int:
    return int(app.redis.hlen(RedisKeys(app.settings.redis_prefix).ledger))


def test_what_a_worker_took_and_never_noted_is_sent_again(start_worker: StartWorker) -> None:
    result = infer.delay(**ARGUMENTS)
    taken = app.redis.rpop(QUEUE)  # as a worker that is killed before it notes that it holds it
    assert json.loads(taken)["headers"]["id"] == result.id
    assert recorded() == 1
    start_worker().ready()
    assert result.get(timeout=60)["success"]
    until(lambda: recorded() == 0)


def test_what_waits_or_is_held_is_not_sent_twice(start_worker: StartWorker, tmp_path: Any) -> None:
    log = tmp_path / "runner.log"
    start_worker("-c", "1", MEMORY_RUNNER_LOG=str(log), WEBINFER_TASK_TIME_LIMIT_S="60").ready()
    # The last ones are looked at by two sweeps, in their queue and in custody.
    results = [infer.delay(**ARGUMENTS, options={"sleep_s": 4.0}) for _ in range(3)]
    assert all(result.get(timeout=60)["success"] for result in results)
    assert log.read_text().count("run m") == len(results)
    until(lambda: recorded() == 0)


def test_a_purge_empties_the_ledger_too(pointed_app: None) -> None:
    result = infer.delay(**ARGUMENTS)
    assert recorded() == 1
    app.control.purge()
    result.forget()
    assert recorded() == 0
    assert not app.redis.exists(RedisKeys(app.settings.redis_prefix).ledger_seen)
