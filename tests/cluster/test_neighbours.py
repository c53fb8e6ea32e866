"""Requests of programs that have a Celery app of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from celery import chain
from PIL import Image

from browser_runtime.contract.errors import BadInput
from tasks import app, infer
from tasks.settings import TaskSettings
from tests.cluster import neighbour_app
from tests.cluster.conftest import Worker, workers
from tests.cluster.memory_app import say

QUEUE = "chrome-vision"


@pytest.fixture(scope="module")
def neighbour(settings: TaskSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """The neighbour's own worker."""
    neighbour_app.app.conf.update(broker_url=settings.broker_url, result_backend=settings.broker_url)
    with workers(tmp_path_factory.mktemp("neighbour"), "tests.cluster.neighbour_app") as start:
        yield start(queue=neighbour_app.QUEUE).ready()


@pytest.fixture
def picture(tmp_path: Path) -> str:
    """The path of a grey picture."""
    path = tmp_path / "grey.png"
    Image.fromarray(np.full((4, 6, 3), 9, np.uint8)).save(path)
    return str(path)


def test_a_program_keeps_its_own_app() -> None:
    code = (
        "from celery import Celery, current_app, shared_task\n"
        "mine = Celery('mine', broker='redis://mine')\n"
        "from tasks import app, infer\n"
        "@shared_task\ndef add(x): return x\n"
        "print(current_app.main, add.app.main, infer.app.main, infer.s.__self__.app is app)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["mine", "mine", "webinfer", "True"]


def test_a_task_of_ones_own_may_give_a_path(worker: Worker, neighbour: Worker, picture: str) -> None:
    name = neighbour_app.ask.delay(model_type="vision", model_name="vit", inputs=picture).get(timeout=20)
    assert app.AsyncResult(name).get(timeout=20)["output"]["mean"] == 9
    assert neighbour_app.shared.delay().get(timeout=20) == "ours"


def test_what_another_task_gives_is_no_path(worker: Worker, picture: str) -> None:
    partial = infer.s(model_type="vision", model_name="vit")
    with pytest.raises(BadInput, match="a path that comes from another task"):
        chain(say.s(picture).set(queue=QUEUE), partial)().get(timeout=20)
    with pytest.raises(BadInput, match="a path that comes from another task"):
        say.apply_async((picture,), queue=QUEUE, link=partial.clone())  # a callback's failure is its task's
        chain(say.s(picture).set(queue=QUEUE), say.s().set(queue=QUEUE), partial)().get(timeout=20)
