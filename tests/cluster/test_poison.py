"""Messages that are none: buried with the evidence, the worker unharmed, nobody left waiting."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from celery.exceptions import NotRegistered

from tasks import app, infer
from tests.cluster.conftest import Worker, until

QUEUE = "chrome-vision"


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


BROKEN: dict[str, Any] = {
    "not JSON": b"\x00\xff not json",
    "JSON, but no object": b"[1, 2, 3]",
    "null": b"null",
    "empty object": b"{}",
    "deeply nested JSON": b"[" * 50_000,
    "no properties": {k: v for k, v in envelope().items() if k != "properties"},
    "no headers": envelope(headers=None),
    "headers are a list": envelope(headers=[1]),
    "no id": envelope(headers={"task": "infer"}),
    "an id of another type": envelope(headers={"task": "infer", "id": 7}),
    "a huge id": envelope(headers={"task": "infer", "id": "x" * 10_000}),
    "unknown task": envelope(headers={"task": "launder", "id": "unknown-task"}),
    "body is not base64": envelope() | {"body": "%%%"},
    "body is garbage": envelope(b"\xc1\xc1\xc1"),
    "body is another shape": envelope(b"\x01"),
    "pickle": envelope(b"\x80\x04N.", **{"content-type": "application/x-python-serialize"}),
    "bad time limits": envelope(
        b"\x93\x90\x80\x80", headers={"task": "infer", "id": "limits", "timelimit": "soon"}
    ),
    "bad eta": envelope(b"\x93\x90\x80\x80", headers={"task": "infer", "id": "eta", "eta": "tomorrow"}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_message_is_buried_and_the_worker_goes_on(worker: Worker, name: str) -> None:
    client = app.redis
    client.delete("webinfer:dead-letters")
    broken = BROKEN[name]
    client.lpush(QUEUE, broken if isinstance(broken, bytes) else json.dumps(broken))
    picture = np.zeros((2, 2), np.uint8)
    assert infer.delay(model_type="vision", model_name="v", inputs=picture).get(timeout=60)["success"]
    letters = [letter for _, letter in client.xrange("webinfer:dead-letters")]
    assert len(letters) == 1, worker.log.read_text()[-2000:]
    assert letters[0][b"why"] and letters[0][b"worker"].decode() == worker.name
    assert worker.process.poll() is None
    until(lambda: client.hlen("unacked") == 0)  # a result is stored before its message is acknowledged
    assert "Trying to reconnect" not in worker.log.read_text()


def test_a_producer_that_waits_for_a_broken_message_is_told(worker: Worker) -> None:
    with pytest.raises(NotRegistered):
        app.send_task("launder", queue=QUEUE).get(timeout=60)
