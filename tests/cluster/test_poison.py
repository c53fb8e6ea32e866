"""Messages that are none: buried with the evidence, the worker unharmed, nobody left waiting."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from celery import chain, chord
from celery.exceptions import ChordError, NotRegistered
from celery.result import AsyncResult

from browser_runtime.contract.errors import BadRequest
from tasks import app, codec, infer, noop
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
    assert infer.delay(**VISION, inputs=PICTURE).get(timeout=20)["success"]
    letters = [letter for _, letter in client.xrange("webinfer:dead-letters")]
    assert len(letters) == 1, worker.log.read_text()[-2000:]
    assert letters[0][b"why"] and letters[0][b"worker"].decode() == worker.name
    if tells_id:
        assert letters[0][b"id"].decode() == broken["headers"]["id"]
        with pytest.raises(BadRequest):
            AsyncResult(broken["headers"]["id"], app=app).get(timeout=20)
    assert worker.process.poll() is None
    until(lambda: client.hlen("unacked") == 0)  # a result is stored before its message is acknowledged
    assert "Trying to reconnect" not in worker.log.read_text()


def test_a_broken_entry_among_the_unacknowledged_is_buried_and_its_producer_told(worker: Worker) -> None:
    client = app.redis
    client.delete("webinfer:dead-letters")
    entry = [{"headers": {"id": "id-unacked", "task": "infer"}, "properties": 7}, QUEUE, QUEUE]
    client.hset("unacked", "broken-tag", json.dumps(entry))
    client.zadd("unacked_index", {"broken-tag": 1.0})
    with pytest.raises(BadRequest, match="broken unacknowledged entry"):
        AsyncResult("id-unacked", app=app).get(timeout=20)
    until(lambda: client.hlen("unacked") == 0 and client.xlen("webinfer:dead-letters") == 1)


def test_a_producer_that_waits_for_an_unknown_task_is_told(worker: Worker) -> None:
    with pytest.raises(NotRegistered):
        app.send_task("launder", queue=QUEUE).get(timeout=20)


def test_who_waits_for_what_follows_a_broken_message_is_told(worker: Worker) -> None:
    """A chain's last task and a chord's body, whose first task is unknown here."""
    unknown = app.signature("launder", queue=QUEUE)
    with pytest.raises(NotRegistered):
        chain(unknown, collect.si([]).set(queue=QUEUE))().get(timeout=20)
    counted = chord([unknown, infer.s(**VISION, inputs=PICTURE)], collect.s().set(queue=QUEUE))()
    with pytest.raises(ChordError, match="launder"):
        AsyncResult(counted.id, app=app).get(timeout=20)


# --- mistakes that cost a worker its slot: this one has a single one


@pytest.fixture(scope="module")
def narrow(settings: TaskSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker that takes one request at a time."""
    with workers(tmp_path_factory.mktemp("narrow")) as start:
        yield start("-c", "1", queue=NARROW).ready()


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "a soft limit of a text": ({"soft_time_limit": "30"}, "timelimit"),
    "a hard limit of a text": ({"time_limit": "30"}, "timelimit"),
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
            infer.apply_async(kwargs=ask, queue=NARROW, **options).get(timeout=20)
    assert infer.apply_async(kwargs={**VISION, "inputs": PICTURE}, queue=NARROW).get(timeout=20)["success"]
    until(lambda: app.redis.hlen("unacked") == 0)


def test_a_chord_that_cannot_be_counted_costs_no_slot(narrow: Worker) -> None:
    """Its group is named and its callback is not to be had: what Celery raises is nobody's to catch."""
    embedded = {"chord": {"task": "collect", "options": {"chord": 7}, "subtask_type": 5, "kwargs": 3}}
    body = codec.dumps([[], {"request": {}}, embedded])
    message = envelope(body, headers={"task": "infer", "id": "id-uncountable", "group": "no-such-group"})
    message["properties"]["delivery_info"] = {"exchange": NARROW, "routing_key": NARROW}
    app.redis.lpush(NARROW, json.dumps(message))
    with pytest.raises(BadRequest):
        AsyncResult("id-uncountable", app=app).get(timeout=20)
    assert infer.apply_async(kwargs={**VISION, "inputs": PICTURE}, queue=NARROW).get(timeout=20)["success"]
    until(lambda: app.redis.hlen("unacked") == 0)
