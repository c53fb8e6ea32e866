"""Requests through a real Redis and a real worker: what comes back, and how it may be asked for."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from celery import Celery, chain, chord, group
from celery.exceptions import TaskRevokedError

from browser_runtime.contract.errors import BY_CODE, BadInput, Busy, ClaimExpired
from tasks import app, echo, infer, noop
from tasks.payloads.claims import find_claims
from tests.cluster.conftest import Worker, until
from tests.cluster.memory_app import collect, patient, say

VISION = {"model_type": "vision", "model_name": "vit-base"}
TEXT = {"model_type": "text", "model_name": "bert"}
QUEUE = "chrome-vision"
PICTURE = np.full((4, 6, 3), 9, np.uint8)


def ask(inputs: Any = PICTURE, **more: Any) -> Any:
    return infer.delay(**VISION, inputs=inputs, **more).get(timeout=60)


def test_a_reply_comes_back_under_the_guides_names(worker: Worker) -> None:
    reply = ask()
    assert reply["success"] and reply["model_type"] == "vision" and reply["platform"] == "wasm"
    assert reply["output"] == {"mean": 9.0, "shape": [4, 6, 3], "text": "heard"}
    assert reply["routing"] == {
        "queue": QUEUE,
        "reason": "chrome is the prior choice for vision",
        "session": "memory-1",
    }


def test_waiting_in_redis_is_told_apart_from_waiting_in_the_worker(worker: Worker) -> None:
    with worker.paused(QUEUE):
        start = time.monotonic()
        result = infer.delay(**VISION, inputs=PICTURE)
        until(lambda: app.redis.llen(QUEUE) == 1)
        waited_ms = (time.monotonic() - start) * 1000
    times = result.get(timeout=60)["timings"]
    assert times["broker_ms"] >= waited_ms * 0.99
    assert times["broker_ms"] + times["total_ms"] <= (time.monotonic() - start) * 1000
    start = time.monotonic()
    times = infer.apply_async(kwargs={**VISION, "inputs": PICTURE}, countdown=2.0).get(timeout=60)["timings"]
    beside_ms = (time.monotonic() - start - 2.0) * 1000
    assert times["broker_ms"] + times["total_ms"] <= beside_ms + 20, "the countdown is no wait"


def test_a_list_gives_a_list_and_a_shape_is_called_synthetic(worker: Worker) -> None:
    assert [output["mean"] for output in ask([PICTURE, PICTURE * 2])["output"]] == [9.0, 18.0]
    assert ask({"image": {"width": 8, "height": 8}})["synthetic_input"] is True


def test_arrays_are_restored_and_can_be_written_to(worker: Worker) -> None:
    reply = infer.apply_async(
        kwargs={"model_type": "text", "model_name": "bert", "inputs": "hello"}, queue=QUEUE
    ).get(timeout=60)
    embedding = reply["output"]["embedding"]
    assert embedding.dtype == np.float32 and list(embedding) == [5, 5, 5]
    embedding += 1
    assert reply["routing"]["reason"] == "the request names this queue"


def test_large_inputs_and_results_travel_beside_the_message(worker: Worker) -> None:
    app.redis.delete(*claim_keys(), "none")
    large = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    result = infer.delay(**VISION, inputs=large, options={"large": 300_000})
    reply = result.get(timeout=60)
    np.testing.assert_array_equal(reply["output"], np.arange(300_000, dtype=np.float32))
    reply["output"] += 1
    again = app.AsyncResult(result.id).get(timeout=60)["output"]
    assert again[1] == 1
    until(lambda: len(claim_keys()) == 1)  # the inputs' bytes go with the task's success
    result.forget()
    assert not claim_keys()


def claim_keys() -> list[bytes]:
    return list(app.redis.scan_iter("webinfer:claim:*"))


def test_an_expired_claim_is_a_clear_error(worker: Worker) -> None:
    large = np.zeros((512, 512, 3), np.uint8)
    with worker.paused(QUEUE):
        result = infer.delay(**VISION, inputs=large)
        app.redis.delete(*claim_keys())
    with pytest.raises(ClaimExpired, match="An array of 786432 bytes has passed its time to live"):
        result.get(timeout=60)


def test_large_inputs_wait_as_long_as_their_message(worker: Worker) -> None:
    large, day_s = np.zeros((512, 512, 3), np.uint8), 86_400
    base = app.settings.claim_ttl_s

    def lives(**when: Any) -> int:
        app.redis.delete(*claim_keys(), "none")
        infer.apply_async(kwargs={**VISION, "inputs": large}, queue="firefox-audio", **when)
        (key,) = claim_keys()
        return int(app.redis.ttl(key))

    assert lives() == pytest.approx(base, abs=60)
    assert lives(countdown=2 * day_s) == pytest.approx(2 * day_s + base, abs=60)
    later = datetime.now(UTC) + timedelta(days=3)
    assert lives(eta=later) == pytest.approx(3 * day_s + base, abs=60)
    assert lives(expires=day_s, countdown=5) == pytest.approx(day_s + base, abs=60)
    app.control.purge()
    app.redis.delete(*claim_keys())


def test_what_travels_on_begins_to_wait_anew(worker: Worker) -> None:
    large = np.full((400, 400, 3), 7, np.uint8)
    chain(say.s(1).set(queue=QUEUE), infer.si(**VISION, inputs=large).set(queue=QUEUE, countdown=86_400))()
    until(lambda: any(app.redis.ttl(key) > 86_400 for key in claim_keys()))
    app.control.purge()
    app.redis.delete(*claim_keys())


@pytest.mark.parametrize("name", ["PageFault", "Unsupported", "BrowserDied", "OutOfMemory", "BadOutput"])
def test_our_errors_come_back_as_themselves(worker: Worker, name: str) -> None:
    with pytest.raises(BY_CODE[name]) as caught:
        ask(options={"fail": name})
    assert type(caught.value) is BY_CODE[name] and caught.value.args == ("the session", "as asked")


def test_busy_is_tried_again(worker: Worker) -> None:
    result = infer.apply_async(kwargs={**VISION, "inputs": PICTURE, "options": {"fail": "Busy"}})
    # By what is told of each, not by looks at the state: one in thirty waits for no time before any retry.
    states: list[str] = []
    with pytest.raises(Busy):
        result.get(timeout=60, on_message=lambda told: states.append(told["status"]))
    assert set(states[:-1]) == {"RETRY"} and states[-1] == "FAILURE"


def test_group_chain_and_chord(worker: Worker) -> None:
    pictures = [PICTURE, PICTURE * 2, PICTURE * 3]
    replies = group(infer.s(**VISION, inputs=picture) for picture in pictures)().get(timeout=60)
    assert [reply["output"]["mean"] for reply in replies] == [9, 18, 27]
    heard = chain(
        infer.s(model_type="audio", model_name="whisper", inputs={"audio": {"duration": 0.5}}).set(
            queue=QUEUE
        ),
        infer.s(model_type="text", model_name="bert").set(queue=QUEUE),
    )().get(timeout=60)
    assert heard["output"]["text"] == "HEARD"
    outputs = chord([infer.s(**VISION, inputs=picture) for picture in pictures])(
        collect.s().set(queue=QUEUE)
    ).get(timeout=60)
    assert sorted(output["mean"] for output in outputs) == [9, 18, 27]


def test_a_group_may_follow_a_request_and_be_followed_by_one(worker: Worker) -> None:
    """What follows a request travels in its message, where Celery keeps a group as a lazy list."""
    first, embed = infer.s(**TEXT, inputs="hello"), infer.s(**TEXT)
    both = chain(first, group(embed, embed))().get(timeout=60)
    assert [reply["output"]["text"] for reply in both] == ["HELLO", "HELLO"]
    last = chain(first, group(embed, chain(embed, embed)), embed)().get(timeout=60)
    assert [output["text"] for output in last["output"]] == ["HELLO", "HELLO"]
    seen = infer.si(**VISION, inputs=PICTURE)
    assert chain(first, group(seen, seen), seen)().get(timeout=60)["output"]["mean"] == 9


def test_a_chord_of_large_arrays_and_a_large_second_step(worker: Worker) -> None:
    large = np.full((400, 400, 3), 7, np.uint8)
    first, second = infer.s(**VISION, inputs=PICTURE), infer.si(**VISION, inputs=large)
    assert chain(first, second)().get(timeout=60)["output"]["shape"] == [400, 400, 3]
    header = [infer.s(**VISION, inputs=PICTURE, options={"large": 50_000}) for _ in range(2)]
    outputs = chord(header)(collect.s().set(queue=QUEUE)).get(timeout=60)
    assert [output.shape for output in outputs] == [(50_000,), (50_000,)]


def test_many_requests_in_one_message(worker: Worker) -> None:
    items = [("vision", "vit-base", PICTURE * n) for n in (1, 2, 3)]

    def means(replies: Any) -> list[float]:
        return [reply["output"]["mean"] for reply in replies]

    assert means(infer.starmap(items).delay().get(timeout=60)) == [9, 18, 27]
    assert means(infer.map([{**VISION, "inputs": PICTURE}]).apply_async().get(timeout=60)) == [9]
    chunks = infer.chunks(items, 2)
    for send in (chunks, chunks.group(), chunks.apply_chunks):  # each is in Celery's manual
        assert [means(part) for part in send().get(timeout=60)] == [[9, 18], [27]]
    for n in (0, -1, True, "2"):
        with pytest.raises(BadInput, match=r"n is .*, but must be a whole number from 1"):
            infer.chunks(items, n)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=r"infer\.map is given an item of type str"):
        infer.map(["vision"])
    assert isinstance(infer.starmap(items).delay().get(timeout=60)[0]["routing"], dict)
    with pytest.raises(BadInput, match="inputs is"):
        infer.starmap([("vision", "vit-base", "/no/such.png")])


def test_a_signature_may_be_sent_twice(worker: Worker) -> None:
    signature = infer.si(**VISION, inputs=np.full((300, 300, 3), 5, np.uint8))
    for _ in range(2):
        assert chain(noop.si(), signature)().get(timeout=60)["output"]["mean"] == 5
    assert not list(find_claims(dict(signature.kwargs)))


def test_bad_requests_are_refused_before_they_are_sent(worker: Worker) -> None:
    with pytest.raises(BadInput, match="model_type is 'sculpture', but must be one of"):
        infer.delay(model_type="sculpture", model_name="x", inputs="y")
    with pytest.raises(BadInput, match="browser is 'opera'"):
        infer.s(**VISION, browser="opera")
    with pytest.raises(BadInput, match="no readable file"):
        group([infer.s(**VISION, inputs="/no/such/cat.png")])


def test_a_message_of_a_stranger_is_refused_by_the_worker(worker: Worker) -> None:
    raw = Celery.send_task(app, "infer", kwargs=VISION | {"inputs": "/etc/hostname"}, queue=QUEUE)
    with pytest.raises(BadInput, match="a path that comes from another task"):
        raw.get(timeout=60)
    wire = dict(infer.s(**VISION, inputs=PICTURE).kwargs["request"])
    for broken in (
        wire | {"inputs": {"images": ["text"]}},
        wire | {"family": "x"},
        wire | {"protocol": 0},
        {},
    ):
        with pytest.raises(BadInput):
            Celery.send_task(app, "infer", kwargs={"request": broken}, queue=QUEUE).get(timeout=60)
    assert ask()["success"]


def test_expires_and_priority_are_obeyed(worker: Worker) -> None:
    late = infer.apply_async(kwargs={**VISION, "inputs": PICTURE}, expires=-1)
    with pytest.raises(TaskRevokedError):
        late.get(timeout=60)
    assert infer.apply_async(kwargs={**VISION, "inputs": PICTURE}, priority=0).get(timeout=60)["success"]


def test_a_body_may_retry_by_hand(worker: Worker) -> None:
    result = patient.apply_async(("retry",), queue=QUEUE)
    assert result.get(timeout=60) == [2, result.id]


def test_noop_and_echo(worker: Worker) -> None:
    assert noop.delay().get(timeout=60) is None
    value = {"a": np.arange(5), "b": [np.ones((200, 200))]}
    echoed = echo.delay(value).get(timeout=60)
    np.testing.assert_array_equal(echoed["a"], value["a"])
    np.testing.assert_array_equal(echoed["b"][0], value["b"][0])
