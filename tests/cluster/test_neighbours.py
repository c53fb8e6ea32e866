"""Requests of programs that have a Celery app of their own."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from celery import Celery, _state, chain, chord, group
from PIL import Image

from browser_runtime.contract.errors import BadInput, InferenceError
from tasks import app, infer
from tasks.routing import serving
from tasks.routing.router import QUEUE_OF
from tasks.settings import TaskSettings
from tests.cluster import neighbour_app
from tests.cluster.conftest import Worker, workers
from tests.cluster.memory_app import say

QUEUE = "chrome-vision"


@pytest.fixture(scope="module", autouse=True)
def neighbours_program() -> Iterator[None]:
    """This process is the neighbour's: its own app is the current one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_state._tls, "current_app", neighbour_app.app)
        yield


@pytest.fixture
def plain(settings: TaskSettings) -> Iterator[Celery]:
    """The app of one more program, which knows of us no more than the broker."""
    app = Celery("plain", broker=settings.broker_url, backend=settings.broker_url, set_as_current=False)
    yield app
    app.backend.result_consumer.stop()
    app.backend.client.connection_pool.disconnect()


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
    name = neighbour_app.ask.delay(model_type="vision", model_name="vit", inputs=picture).get(timeout=60)
    assert app.AsyncResult(name).get(timeout=60)["output"]["mean"] == 9
    assert neighbour_app.shared.delay().get(timeout=60) == "ours"


def test_what_another_task_gives_is_no_path(worker: Worker, picture: str) -> None:
    partial = infer.s(model_type="vision", model_name="vit")
    with pytest.raises(BadInput, match="a path that comes from another task"):
        chain(say.s(picture).set(queue=QUEUE), partial)().get(timeout=60)
    with pytest.raises(BadInput, match="a path that comes from another task"):
        say.apply_async((picture,), queue=QUEUE, link=partial.clone())  # a callback's failure is its task's
        chain(say.s(picture).set(queue=QUEUE), say.s().set(queue=QUEUE), partial)().get(timeout=60)


def test_a_request_sent_by_name_from_a_plain_app_is_answered(worker: Worker, plain: Celery) -> None:
    """As another program would: JSON, Celery's default queue, no code of ours."""
    text = {"model_type": "text", "model_name": "bert", "inputs": "hello"}
    reply = plain.send_task("infer", kwargs=text).get(timeout=60)
    assert reply["output"] == {"embedding": [5.0, 5.0, 5.0], "text": "HELLO"}
    assert reply["routing"]["queue"] == QUEUE and reply["routing"]["preferred"] == "edge-text"
    positional = plain.send_task("infer", ["text", "bert", ["a", "bc"]], queue="webinfer", priority=6)
    assert [item["embedding"][0] for item in positional.get(timeout=60)["output"]] == [1.0, 2.0]
    assert plain.send_task("infer", kwargs=text, queue=QUEUE).get(timeout=60)["routing"]["fixed"] is True
    encoded = io.BytesIO()
    Image.fromarray(np.full((4, 6, 3), 9, np.uint8)).save(encoded, "PNG")
    seen = plain.send_task(
        "infer", kwargs={"model_type": "vision", "model_name": "vit", "inputs": encoded.getvalue()}
    )
    assert seen.get(timeout=60)["output"]["mean"] == 9


def test_a_plain_app_is_told_what_is_wrong(worker: Worker, plain: Celery) -> None:
    for wrong, sentence in (
        ({"modle_type": "text"}, "unknown argument 'modle_type'"),
        ({"model_type": "text", "model_name": "bert"}, "inputs is missing"),
        ({"model_type": "vision", "model_name": "vit", "inputs": "/etc/hostname"}, "a path that comes from"),
        (
            {"model_type": "text", "model_name": "b", "inputs": "x", "options": {"fail": "PageFault"}},
            "failed",
        ),
    ):
        with pytest.raises(InferenceError, match=sentence):
            plain.send_task("infer", kwargs=wrong).get(timeout=60)


def test_what_a_neighbour_keeps_in_the_default_queue_stays_there(worker: Worker, plain: Celery) -> None:
    for number in range(1200):
        plain.send_task("neighbour.later", [number, "infer"])
    results = [
        plain.send_task("infer", kwargs={"model_type": "text", "model_name": "bert", "inputs": "hi"})
        for _ in range(3)
    ]
    for number in range(1200):
        plain.send_task("neighbour.later", [number])
    assert all(result.get(timeout=60)["success"] for result in results)
    kept = app.redis.lrange("celery", 0, -1)
    assert (
        len(kept) == 2400
        and [json.loads(item)["headers"]["task"] for item in kept] == ["neighbour.later"] * 2400
    )
    app.redis.delete("celery")


def test_celery_call_is_answered(worker: Worker, picture: str) -> None:
    request = {"model_type": "vision", "model_name": "vit", "inputs": picture}
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "tasks",
        "call",
        "infer",
        "--kwargs",
        json.dumps(request),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert app.AsyncResult(done.stdout.strip()).get(timeout=60)["output"]["mean"] == 9


def test_json_carries_arrays_of_any_size(worker: Worker) -> None:
    for side in (4, 400):  # in the message, and beside it
        picture = np.full((side, side, 3), 7, np.uint8)
        kwargs = {"model_type": "vision", "model_name": "vit", "inputs": picture}
        reply = infer.apply_async(kwargs=kwargs, serializer="json").get(timeout=60)
        assert reply["output"]["shape"] == [side, side, 3]
        assert isinstance(infer.delay(**kwargs, options={"large": 9}).get(timeout=60)["output"], np.ndarray)


def test_canvases_of_two_apps(worker: Worker, neighbour: Worker, picture: str) -> None:
    text = infer.s(model_type="text", model_name="bert", inputs="hello")
    see = infer.s(model_type="vision", model_name="vit", inputs=picture)
    assert (text | neighbour_app.outline.s())().get(timeout=60) == {"types": ["dict"], "n": 1}
    embed = infer.s(model_type="text", model_name="bert")
    embedded = (neighbour_app.say.s("four") | embed)().get(timeout=60)
    assert embedded["output"]["embedding"] == [4.0, 4.0, 4.0]
    both = chain(neighbour_app.say.s("x"), infer.si(model_type="vision", model_name="v", inputs=picture))
    assert both().get(timeout=60)["output"]["mean"] == 9
    assert chord([text, see])(neighbour_app.outline.s()).get(timeout=60) == {"types": ["dict"], "n": 2}
    mixed = group([neighbour_app.say.s(1), text])().join(timeout=60)  # get() waits for one app's results only
    assert mixed[0] == 1 and mixed[1]["output"]["text"] == "HELLO"
    ends = chord([neighbour_app.say.s("ab"), neighbour_app.say.s("cd")])(embed)
    assert [item["text"] for item in ends.get(timeout=60)["output"]] == ["AB", "CD"]
    assert neighbour_app.replaced.delay("hi").get(timeout=60)["output"]["text"] == "HI"
    assert neighbour_app.chained.delay("hi").get(timeout=60) == {"types": ["dict"], "n": 1}


def test_requests_left_by_the_last_worker_of_their_queue_go_to_another(
    worker: Worker, settings: TaskSettings
) -> None:
    queues = list(QUEUE_OF.values())
    serving.announce(app.redis, settings.redis_prefix, ["edge-text"])
    app.routing.refresh()
    free = infer.delay(model_type="text", model_name="bert", inputs="hello")
    bound = infer.delay(model_type="text", model_name="bert", inputs="hello", browser="edge")
    assert app.redis.llen("edge-text") == 2
    app.redis.delete(*(key for key in serving.presence_keys(settings.redis_prefix, queues) if "edge" in key))
    reply = free.get(timeout=60)
    assert reply["routing"]["queue"] == QUEUE and reply["routing"]["preferred"] == "edge-text"
    assert app.redis.llen("edge-text") == 1 and bound.state == "PENDING"
    assert app.redis.hlen("webinfer:ledger") == 1
    app.control.purge()
