"""Requests go to queues that have workers; where none has one, that is said at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from browser_runtime.contract.errors import NoWorker
from tasks import app, echo, infer
from tasks.routing import serving
from tasks.routing.router import QUEUE_OF
from tasks.settings import TaskSettings
from tests.cluster.conftest import StartWorker, point_app, until
from tests.processes import kill

TEXT = {"model_type": "text", "model_name": "never-run", "inputs": "hello"}
PICTURE = {"model_type": "vision", "model_name": "never-run", "inputs": np.zeros((2, 2), np.uint8)}


@pytest.fixture(autouse=True)
def strict(settings: TaskSettings) -> Iterator[None]:
    """Nobody waits for workers that were never there, and none of an earlier test is remembered."""
    point_app(settings.replace(wait_for_workers=False))
    app.redis.delete(*serving.presence_keys(settings.redis_prefix, list(QUEUE_OF.values())))
    yield
    point_app(settings)


def test_a_model_that_never_ran_goes_where_a_worker_is(start_worker: StartWorker) -> None:
    with pytest.raises(NoWorker, match=r"No worker serves edge-text, .* start one with `webinfer up`"):
        infer.delay(**TEXT)
    start_worker().ready()
    reply = infer.delay(**TEXT).get(timeout=60)  # at once, though the refusal is a moment ago
    assert reply["browser"] == "chrome"
    assert reply["routing"]["queue"] == "chrome-vision" and reply["routing"]["preferred"] == "edge-text"
    assert reply["routing"]["reason"].startswith("no worker serves edge-text (edge is the prior choice")
    assert (
        infer.delay(**PICTURE).get(timeout=60)["routing"]["reason"] == "chrome is the prior choice for vision"
    )


def test_who_names_a_browser_waits_for_it(start_worker: StartWorker) -> None:
    waiting = infer.delay(**TEXT, browser="firefox")
    named = infer.apply_async(kwargs=TEXT, queue="firefox-audio")
    start_worker(queue="firefox-audio").ready()
    assert waiting.get(timeout=60)["browser"] == named.get(timeout=60)["browser"] == "firefox"
    assert echo.delay("back").get(timeout=60) == "back"  # Chrome's by default, which has no worker


def test_a_restart_refuses_nothing(start_worker: StartWorker) -> None:
    first = start_worker().ready()
    first.stop()
    between = infer.delay(**TEXT)
    assert app.redis.llen("chrome-vision") == 1, "the only queue that had a worker a moment ago"
    second = start_worker()
    assert between.get(timeout=60)["success"]
    kill(second.process)
    assert infer.delay(**PICTURE).id


def test_a_worker_that_starts_is_expected(settings: TaskSettings, start_worker: StartWorker) -> None:
    starting = start_worker()
    until(lambda: app.routing.refresh().presence.expected == {"chrome-vision"})  # type: ignore[union-attr]
    assert infer.delay(**PICTURE).get(timeout=60)["success"]
    assert starting.process.poll() is None


def test_waiting_for_workers_can_be_asked_for(settings: TaskSettings) -> None:
    point_app(settings.replace(wait_for_workers=True))
    infer.delay(**TEXT)
    assert app.redis.llen("edge-text") == 1
    app.control.purge()
