"""Messages that are none: buried with the evidence, the worker unharmed, nobody left waiting."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from celery import chain, chord
from celery.exceptions import ChordError, NotRegistered
from celery.result import AsyncResult

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Family
from tasks import app, infer, noop
from tasks.keys import UNACKED, UNACKED_INDEX
from tasks.payloads import codec
from tasks.settings import TaskSettings
from tests.cluster.conftest import Worker, until, workers
from tests.cluster.memory_app import collect

QUEUE, NARROW = "chrome-vision", "edge-text"
VISION = {"model_type": "vision", "model_name": "vit-base"}
PICTURE = np.zeros((2, 2), np.uint8)


def envelope(body: bytes = b"{}", **changes: Any) -> dict[str, Any]:
    """A kombu message as it lies in Redis."""
    headers = {"id": "11111111-2222-3333-4444-555555555555", "task": "infer", "lang": "py"}
    return {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "binary",
        "content-type": "application/x-webinfer-tensor",
        "headers": headers,
        "properties": {
            "delivery_info": {"exchange": QUEUE, "routing_key": QUEUE},
            "delivery_tag": "tag",
            "body_encoding": "base64",
            "correlation_id": headers["id"],
        },
    } | changes


def without(name: str, message: dict[str, Any]) -> dict[str, Any]:
    """`message` without one of its properties."""
    return message | {"properties": {k: v for k, v in message["properties"].items() if k != name}}


def with_property(name: str, value: Any, message: dict[str, Any]) -> dict[str, Any]:
    """`message` with one of its properties replaced."""
    return message | {"properties": message["properties"] | {name: value}}


def task(name: str, embedded: Any = None, **headers: Any) -> dict[str, Any]:
    """A message of its own id whose headers or embedded parts are broken."""
    body = codec.dumps([[], {}, embedded or {}])
    return envelope(body, headers={"task": "infer", "id": f"id-{name}"} | headers)


# The second is whether the message still tells which task it is: then its producer is told.
BROKEN: dict[str, tuple[Any, bool]] = {
    "not JSON": (b"\x00\xff not json", False),
    "JSON, but no object": (b"[1, 2, 3]", False),
    "null": (b"null", False),
    "empty object": (b"{}", False),
    "deeply nested JSON": (b"[" * 50_000, False),
    "no properties": ({k: v for k, v in task("properties").items() if k != "properties"}, True),
    "properties are a list": (task("list") | {"properties": [1]}, True),
    "no delivery tag": (without("delivery_tag", task("tag")), True),
    "a null delivery tag": (with_property("delivery_tag", None, task("null")), True),
    "a delivery tag of another type": (with_property("delivery_tag", [1], task("type")), True),
    "a null delivery info": (with_property("delivery_info", None, task("info")), True),
    "a priority of another type": (with_property("priority", "high", task("priority")), True),
    "no headers": (envelope(headers=None), False),
    "headers are a list": (envelope(headers=[1]), False),
    "no id": (envelope(headers={"task": "infer"}), False),
    "an id of another type": (envelope(headers={"task": "infer", "id": 7}), False),
    "a huge id": (envelope(headers={"task": "infer", "id": "x" * 10_000}), False),
    "no task": (envelope(headers={"id": "id-taskless"}), True),
    "body is not base64": (task("base64") | {"body": "%%%"}, True),
    "body is garbage": (task("garbage") | {"body": base64.b64encode(b"\xc1\xc1").decode()}, True),
    "body is another shape": (task("shape") | {"body": base64.b64encode(b"\x01").decode()}, True),
    "body is too large": (task("large") | {"body": base64.b64encode(bytes((32 << 20) + 1)).decode()}, True),
    "pickle": (task("pickle") | {"content-type": "application/x-python-serialize"}, True),
    "a soft limit of a text": (task("soft", timelimit=[None, "30"]), True),
    "a limit that is no number": (task("nan", timelimit=[float("nan"), None]), True),
    "limits of a text": (task("limits", timelimit="soon"), True),
    "a bad eta": (task("eta", eta="tomorrow"), True),
    "a bad time to expire": (task("expires", expires=[1]), True),
    "retries of a text": (task("retries", retries="many"), True),
    "a group of another type": (task("group", group=["a"]), True),
    "a shadow of another type": (task("shadow", shadow={"a": 1}), True),
    "stamps of another type": (task("stamps", stamped_headers=5), True),
    "links that are numbers": (task("links", {"callbacks": [5]}), True),
    "links to errors that are numbers": (task("errors", {"errbacks": [5]}), True),
    "a chain of texts": (task("chain", {"chain": ["next"]}), True),
    "a chord of a number": (task("chord", {"chord": 5}), True),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_message_is_buried_its_producer_told_and_the_worker_goes_on(
    worker: Worker, name: str
) -> None:
    client = app.redis
    client.delete("webinfer:dead-letters")
    broken, tells_id = BROKEN[name]
    client.lpush(QUEUE, broken if isinstance(broken, bytes) else json.dumps(broken))
    assert infer.delay(**VISION, inputs=PICTURE).get(timeout=60)["success"]
    letters = [letter for _, letter in client.xrange("webinfer:dead-letters")]
    assert len(letters) == 1, worker.log.read_text()[-2000:]
    assert letters[0][b"why"] and letters[0][b"worker"].decode() == worker.name
    if tells_id:
        assert letters[0][b"id"].decode() == broken["headers"]["id"]
        with pytest.raises(BadRequest):
            AsyncResult(broken["headers"]["id"], app=app).get(timeout=60)
    assert worker.process.poll() is None
    until(lambda: client.hlen(UNACKED) == 0)  # a result is stored before its message is acknowledged
    assert "Trying to reconnect" not in worker.log.read_text()


def test_a_broken_entry_among_the_unacknowledged_is_buried_and_its_producer_told(worker: Worker) -> None:
    client = app.redis
    client.delete("webinfer:dead-letters")
    entry = [{"headers": {"id": "id-unacked", "task": "infer"}, "properties": 7}, QUEUE, QUEUE]
    client.hset(UNACKED, "broken-tag", json.dumps(entry))
    client.zadd(UNACKED_INDEX, {"broken-tag": 1.0})
    with pytest.raises(BadRequest, match="broken unacknowledged entry"):
        AsyncResult("id-unacked", app=app).get(timeout=60)
    until(lambda: client.hlen(UNACKED) == 0 and client.xlen("webinfer:dead-letters") == 1)


def test_a_producer_that_waits_for_an_unknown_task_is_told(worker: Worker) -> None:
    with pytest.raises(NotRegistered):
        app.send_task("launder", queue=QUEUE).get(timeout=60)


def test_who_waits_for_what_follows_a_broken_message_is_told(worker: Worker) -> None:
    """A chain's last task and a chord's body, whose first task is unknown here."""
    unknown = app.signature("launder", queue=QUEUE)
    with pytest.raises(NotRegistered):
        chain(unknown, collect.si([]).set(queue=QUEUE))().get(timeout=60)
    counted = chord([unknown, infer.s(**VISION, inputs=PICTURE)], collect.s().set(queue=QUEUE))()
    with pytest.raises(ChordError, match="launder"):
        AsyncResult(counted.id, app=app).get(timeout=60)


# --- mistakes that cost a worker its slot: this one has a single one


@pytest.fixture(scope="module")
def narrow(settings: TaskSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker that takes one request at a time."""
    with workers(tmp_path_factory.mktemp("narrow")) as start:
        yield start("-c", "1", queue=NARROW).ready()


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "a link to a mistyped queue": ({"link": noop.si().set(queue="typo")}, "typo"),
    "a link to an error of a mistyped queue": (
        {"link_error": noop.si().set(queue="typo"), "fail": True},
        "the session",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_request_costs_no_slot(narrow: Worker, name: str) -> None:
    options, told = MISTAKES[name]
    options = dict(options)
    fails = {"options": {"fail": "BadOutput"}} if options.pop("fail", False) else {}
    for _ in range(2):
        ask = {**VISION, "inputs": PICTURE, "browser": "edge", **fails}
        with pytest.raises(Exception, match=told):
            infer.apply_async(kwargs=ask, queue=NARROW, **options).get(timeout=60)
    assert infer.apply_async(kwargs={**VISION, "inputs": PICTURE}, queue=NARROW).get(timeout=60)["success"]
    until(lambda: app.redis.hlen(UNACKED) == 0)


def test_a_chord_that_cannot_be_counted_costs_no_slot(narrow: Worker) -> None:
    """Its group is named and its callback is not to be had: what Celery raises is nobody's to catch."""
    embedded = {"chord": {"task": "collect", "options": {"chord": 7}, "subtask_type": 5, "kwargs": 3}}
    body = codec.dumps([[], {"request": {}}, embedded])
    message = envelope(body, headers={"task": "infer", "id": "id-uncountable", "group": "no-such-group"})
    message["properties"]["delivery_info"] = {"exchange": NARROW, "routing_key": NARROW}
    app.redis.lpush(NARROW, json.dumps(message))
    with pytest.raises(BadRequest):
        AsyncResult("id-uncountable", app=app).get(timeout=60)
    assert infer.apply_async(kwargs={**VISION, "inputs": PICTURE}, queue=NARROW).get(timeout=60)["success"]
    until(lambda: app.redis.hlen(UNACKED) == 0)


# --- requests made by hand, in messages that are sound


GOOD: dict[str, Any] = Request(
    Family.VISION, "vit-base", {"images": [np.zeros((2, 2, 3), np.uint8)]}
).to_wire()
HAND_MADE: dict[str, Any] = {
    "no dict": ["request"],
    "an unknown field": GOOD | {"colour": 1},
    "another protocol": GOOD | {"protocol": 2},
    "a protocol that counts as one": GOOD | {"protocol": True},
    "options of a text": GOOD | {"options": "fast"},
    "options in a list": GOOD | {"options": [["top_k", 1]]},
    "nested options": GOOD | {"options": {"top_k": {"deep": [1]}}},
    "a million backends": GOOD | {"backends": ["wasm"] * 1_000_000},
    "backends of a number": GOOD | {"backends": 5},
    "a backend in a list": GOOD | {"backends": [["wasm"]]},
    "a deadline that is no number": GOOD | {"deadline_s": float("nan")},
    "a deadline past every clock": GOOD | {"deadline_s": 1e300},
    "a deadline of a text": GOOD | {"deadline_s": "30"},
    "a deadline in the past": GOOD | {"deadline_s": -1},
    "single as a text": GOOD | {"single": "yes"},
    "single for two": GOOD | {"inputs": {"images": GOOD["inputs"]["images"] * 2}},
    "synthetic as a number": GOOD | {"synthetic": 1},
    "a precision of another type": GOOD | {"precision": ["fp32"]},
    "a browser of another type": GOOD | {"browser": {"chrome": 1}},
    "a family of another type": GOOD | {"family": ["vision"]},
    "a model name of a megabyte": GOOD | {"model_name": "m" * (1 << 20)},
    "a model name of another type": GOOD | {"model_name": 7},
    "notes of a number": GOOD | {"notes": 9},
    "notes of a megabyte": GOOD | {"notes": ["n" * (1 << 20)]},
    "no inputs": {name: value for name, value in GOOD.items() if name != "inputs"},
    "inputs of a text": GOOD | {"inputs": "images"},
    "inputs of another family": GOOD | {"inputs": {"texts": ["a"]}},
    "items of another type": GOOD | {"inputs": {"images": [{"deep": [[[1]]]}]}},
    "a thousand items": GOOD | {"inputs": {"images": GOOD["inputs"]["images"] * 1000}, "single": False},
}


@pytest.mark.parametrize("name", HAND_MADE)
def test_a_request_made_by_hand_is_refused_and_harms_no_other(narrow: Worker, name: str) -> None:
    with pytest.raises(BadInput):
        by_hand({"request": HAND_MADE[name]}).get(timeout=60)
    assert by_hand({"request": GOOD}).get(timeout=60)["success"]


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"request": GOOD, "route": "edge-text"},
        {"request": GOOD, "route": {"queue": ["edge-text"]}},
        {"request": GOOD, "route": {"after": {"after": {}}}},
        {"request": GOOD, "more": 1},
    ],
)
def test_other_arguments_made_by_hand_are_refused(narrow: Worker, message: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        by_hand(message).get(timeout=60)
    with pytest.raises(BadInput):
        by_hand(message, args=[1, 2, 3]).get(timeout=60)
    assert by_hand({"request": GOOD}).get(timeout=60)["success"]


def by_hand(message: dict[str, Any], args: Any = ()) -> AsyncResult[Any]:
    """The result of `infer` sent by a program that knows the wire and nothing of ours."""
    task_id = str(uuid.uuid4())
    item = envelope(codec.dumps([list(args), message, {}]), headers={"task": "infer", "id": task_id})
    item["properties"] |= {
        "delivery_tag": task_id,
        "delivery_info": {"exchange": NARROW, "routing_key": NARROW},
    }
    app.redis.lpush(NARROW, json.dumps(item))
    return AsyncResult(task_id, app=app)
