"""Requests as users of Celery send them: by a beat of their own, a thousand at once, without results."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from celery import group

from tasks import app, infer
from tasks.keys import RESULTS, RedisKeys
from tasks.sending.ledger import LedgerChannel
from tests.cluster.conftest import Worker, until
from tests.processes import kill

VISION = {"model_type": "vision", "model_name": "vit-base"}
N_REQUESTS = 1000

OURS = """
from webinfer import app, infer
"""
THEIRS = """
import os
from celery import Celery
app = Celery("mine", broker=os.environ["WEBINFER_BROKER_URL"], backend=os.environ["WEBINFER_BROKER_URL"])
"""
SCHEDULE = """
app.conf.beat_schedule = {"ask": {"task": "infer", "schedule": 1.0, "kwargs": {
    "model_type": "vision", "model_name": "vit-base", "inputs": {"image": {"width": 8, "height": 8}}}}}
"""


def count_answers(worker: Worker, task_id: str = "") -> int:
    return sum(
        "Task infer[" + task_id in line and "succeeded" in line
        for line in worker.log.read_text().splitlines()
    )


@pytest.mark.parametrize("module", [OURS, THEIRS], ids=["our app", "an app of its own"])
def test_a_beat_sends_requests_of_a_users_own_schedule(worker: Worker, tmp_path: Path, module: str) -> None:
    (tmp_path / "myproject.py").write_text(module + SCHEDULE)
    before, log = count_answers(worker), tmp_path / "beat.log"
    command = [sys.executable, "-m", "celery", "-A", "myproject", "beat", "--loglevel", "INFO"]
    with log.open("wb") as output:
        home = str(Path(__file__).parents[2])
        environment = os.environ | {"PYTHONPATH": home}
        beat = subprocess.Popen(command, stdout=output, stderr=output, cwd=tmp_path, env=environment)
    try:
        until(lambda: count_answers(worker) >= before + 2)
    finally:
        kill(beat)
    assert "rror" not in log.read_text()
    assert "scheduler." not in log.read_text(), "a program's own beat sends its own schedule alone"


def test_a_group_of_a_thousand_is_answered_in_order(worker: Worker) -> None:
    pictures = [np.full((4, 6, 3), number % 251, np.uint8) for number in range(N_REQUESTS)]
    sent = group(infer.s(**VISION, inputs=picture) for picture in pictures).apply_async()
    replies = sent.get(timeout=300)
    assert [reply["output"]["mean"] for reply in replies] == [number % 251 for number in range(N_REQUESTS)]


def test_a_request_whose_result_is_ignored_runs_and_leaves_nothing(worker: Worker) -> None:
    large = np.zeros((512, 512, 3), np.uint8)
    claims = RedisKeys(app.settings.redis_prefix).claim("*")
    before = set(app.redis.scan_iter(claims))
    with worker.paused("chrome-vision"):
        sent = infer.apply_async(kwargs={**VISION, "inputs": large}, ignore_result=True)
        assert set(app.redis.scan_iter(claims)) - before, "the picture waits beside the message"
    until(lambda: count_answers(worker, sent.id) == 1)
    assert sent.get(timeout=60) is None
    until(lambda: set(app.redis.scan_iter(claims)) <= before)
    assert not app.redis.exists(RESULTS.replace("*", sent.id))


def test_a_message_whose_channel_closes_under_it_goes_over_another(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it happened to a program that sent from several threads while Redis went away and came back."""
    put, closed = LedgerChannel._put, []

    def close_first(channel: Any, *args: Any, **kwargs: Any) -> None:
        if not closed:
            closed.append(channel)
            channel.close()
        put(channel, *args, **kwargs)

    monkeypatch.setattr(LedgerChannel, "_put", close_first)
    assert infer.delay(**VISION, inputs=np.zeros((2, 2), np.uint8)).get(timeout=60)["success"]
    assert closed
