"""The whole way with a real browser: Redis, worker, Chrome, page, and back."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnxruntime
import psutil
import pytest
from celery import chain, chord
from tokenizers import Tokenizer

from browser_runtime.contract.errors import UnknownModel
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.models.store import BUILTIN_FOLDER, ModelStore
from browser_runtime.simulation.session import SimulatedSession
from tasks import app, echo, infer
from tasks.arguments import bind, build_request
from tasks.keys import RedisKeys
from tasks.routing.router import QUEUE_OF
from tests.cluster.conftest import Worker, until, workers
from tests.conftest import require_browser
from tests.processes import is_alive

CHROME = "chrome-vision"
SILENCE = {"audio": np.zeros(16_000, np.float32), "sampling_rate": 16_000}
TEXT = {"model_type": "text_embedding", "model_name": "sentences-bert", "browser": "chrome"}


@pytest.fixture(scope="module")
def chrome(settings: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker that owns one Chrome."""
    require_browser(Browser.CHROME)
    app.control.purge()
    with workers(tmp_path_factory.mktemp("chrome"), "tasks") as start:
        yield start().ready()


def digit(**more: Any) -> Any:
    shape = {"image": {"width": 28, "height": 28}}
    return infer.delay(model_type="vision", model_name="digits-vit", inputs=shape, **more).get(timeout=120)


def test_an_image_is_classified_in_the_browser(chrome: Worker) -> None:
    reply = digit()
    assert reply["success"] and reply["browser"] == "chrome" and "Chrom" in reply["browser_build"]
    assert reply["synthetic_input"] and not reply["is_simulation"]
    assert reply["output"]["logits"].shape == (10,)
    assert reply["routing"]["queue"] == CHROME
    again = digit()
    np.testing.assert_allclose(again["output"]["logits"], reply["output"]["logits"], rtol=1e-5)
    assert again["timings"]["load_ms"] == 0


def test_a_large_tensor_goes_to_the_page_and_back(chrome: Worker) -> None:
    tensor = np.random.default_rng(0).random((512, 512), np.float32)
    np.testing.assert_array_equal(echo.delay(tensor).get(timeout=60), tensor)


def test_the_stores_errors_reach_the_producer(chrome: Worker) -> None:
    with pytest.raises(UnknownModel, match="no-such-model"):
        infer.delay(model_type="vision", model_name="no-such-model", inputs=np.zeros((8, 8))).get(timeout=60)
    assert digit()["success"]


def listen() -> Any:
    return infer.s(model_type="audio", model_name="tones-whisper", inputs=SILENCE, browser="chrome")


def embed(text: str) -> np.ndarray[Any, Any]:
    """The embedding of a text by tokenizers and onnxruntime alone: the mean of its tokens, normalised."""
    folder = BUILTIN_FOLDER / "sentences-bert"
    encoding = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text)
    values = {"input_ids": encoding.ids, "attention_mask": encoding.attention_mask}
    values["token_type_ids"] = encoding.type_ids
    session = onnxruntime.InferenceSession(str(folder / "onnx" / "model.onnx"))
    names = [node.name for node in session.get_inputs()]
    (hidden, *_) = session.run(None, {name: np.array([values[name]], np.int64) for name in names})
    mean = hidden[0].mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean))


def test_a_chord_over_empty_results_reaches_its_body(chrome: Worker) -> None:
    replies = chord([listen() for _ in range(3)])(echo.s()).get(timeout=120)
    assert [reply["output"]["text"] for reply in replies] == ["", "", ""]
    assert all(reply["success"] and len(reply["output"]["tokens"]) == 0 for reply in replies)


def test_an_empty_text_has_the_embedding_that_onnxruntime_computes(chrome: Worker) -> None:
    """By itself, in a list, and as the transcription of silence that a chain hands on."""
    alone = infer.delay(**TEXT, inputs="").get(timeout=120)
    listed = infer.delay(**TEXT, inputs=["a man eats", ""]).get(timeout=120)
    chained = chain(listen(), infer.s(**TEXT))().get(timeout=120)
    for output in (alone["output"], listed["output"][1], chained["output"]):
        np.testing.assert_allclose(output["embedding"], embed(""), rtol=0, atol=1e-5)
    np.testing.assert_allclose(listed["output"][0]["embedding"], embed("a man eats"), rtol=0, atol=1e-5)


def test_what_chrome_lacks_another_browsers_worker_does(chrome: Worker, tmp_path: Any) -> None:
    """Chrome has no WebNN: the request goes to Edge's queue, and the reply tells what failed in Chrome's."""
    require_browser(Browser.EDGE)
    seven = BUILTIN_FOLDER / "digits-vit/examples/7.png"
    asked: dict[str, Any] = {"model_type": "vision", "model_name": "digits-vit", "inputs": seven}
    with workers(tmp_path, "tasks") as start:
        start(queue=QUEUE_OF[Browser.EDGE]).ready()
        until(lambda: app.redis.exists(f"webinfer:serving:{QUEUE_OF[Browser.EDGE]}") == 1)
        reply = infer.delay(**asked, priority_list=["webnn"]).get(timeout=120)
    assert (reply["browser"], reply["backend"]) == ("edge", "webnn")
    assert reply["output"]["labels"][0]["label"] == "7"
    (attempt,) = reply["routing"]["attempts"]
    assert (attempt["error"], attempt["step"]) == ("Unsupported", "other browser")
    assert "webnn in Chromium" in attempt["message"] and reply["routing"]["attempt"] == 2
    python = SimulatedSession(Browser.EDGE, "to compare with")
    model = ModelStore(tmp_path).ensure("digits-vit")
    request = build_request(bind((), asked), app.settings.limits())
    right = asyncio.run(python.run(request, model)).output["logits"]
    np.testing.assert_allclose(reply["output"]["logits"], right, rtol=1e-3, atol=1e-3)


# At such chances the model goes on for a hundred tokens and more.
STORY: dict[str, Any] = {"model_type": "text_generation", "model_name": "numbers-llama", "browser": "chrome"}
WILD = {"temperature": 5.0, "repetition_penalty": 0.5, "max_new_tokens": 200}
LONG, LONGER = 6, 18  # seeds


def story(seed: int, **more: Any) -> dict[str, Any]:
    return STORY | {"inputs": "Write", "options": WILD | {"seed": seed} | more}


def test_two_producers_stream_at_once_from_one_lane_each_alone_in_its_text(chrome: Worker) -> None:
    alone = [infer.delay(**story(seed)).get(timeout=120)["output"]["text"] for seed in (LONG, LONGER)]
    streams = [infer.stream(**story(seed)) for seed in (LONG, LONGER)]
    with ThreadPoolExecutor() as producers:
        pieces = list(producers.map(list, streams))
    assert ["".join(each) for each in pieces] == alone
    replies = [stream.reply for stream in streams]
    assert len({reply["session"] for reply in replies if reply is not None}) == 1
    assert all(map(all, pieces)), "no piece is empty"


def test_stopped_streams_leave_neither_memory_nor_keys(chrome: Worker) -> None:
    """A short form of `python -m tests.exercises.stops`."""
    memory, ends = set(), set()
    for how in range(12):
        stream = infer.stream(**story(LONGER))
        assert next(iter(stream))
        if how % 2:
            stream.close()
        else:
            stream.result.revoke(terminate=True)
        reply = infer.delay(**story(how, max_new_tokens=4)).get(timeout=60)
        memory.add(reply["details"]["memory_bytes"])
        until(lambda stream=stream: stream.result.ready())
        ends.add(stream.result.state)
    assert len(memory) == 1 and "REVOKED" in ends <= {"REVOKED", "SUCCESS"}, "a quick text may end before"
    pieces = RedisKeys(app.settings.redis_prefix).pieces("*")
    assert all(app.redis.ttl(key) > 0 for key in app.redis.scan_iter(pieces))


def test_a_worker_killed_amid_a_stream_the_producer_gets_the_whole_text_once(
    chrome: Worker, settings: Any, tmp_path: Any
) -> None:
    """From another worker's browser, which goes on behind the tokens that are there."""
    whole = infer.delay(**story(LONGER)).get(timeout=120)["output"]
    queue = QUEUE_OF[Browser.EDGE]
    require_browser(Browser.EDGE)
    with workers(tmp_path, "tasks") as start:
        first = start(queue=queue).ready()
        infer.delay(**story(LONGER) | {"browser": "edge"}).get(timeout=120)
        stream = infer.stream(**story(LONGER) | {"browser": "edge"})
        pieces = [next(iter(stream))]
        os.kill(first.process.pid, signal.SIGKILL)
        start(queue=queue)
        pieces += stream
    assert "".join(pieces) == whole["text"]
    assert stream.reply is not None and stream.reply["output"]["tokens"] == whole["tokens"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_no_browser_outlives_its_worker(settings: Any, tmp_path: Any, how: signal.Signals) -> None:
    require_browser(Browser.CHROME)
    with workers(tmp_path, "tasks") as start:
        worker = start().ready()
        family = psutil.Process(worker.process.pid).children(recursive=True)
        assert family
        worker.stop(how)
        until(lambda: not any(is_alive(process) for process in family))
