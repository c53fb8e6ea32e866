"""Junk in every key of ours, under a running worker, watch worker and beat: everything goes on, junk goes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from tasks import app, infer
from tasks.keys import UNACKED, UNACKED_INDEX, RedisKeys
from tasks.settings import TaskSettings
from tests.cluster.conftest import until, workers
from tests.cluster.redis_server import own_server
from tests.processes import stop

ASK: dict[str, Any] = {"model_type": "text", "model_name": "bert", "inputs": "hello", "browser": "chrome"}
QUEUES = ("chrome-vision", "edge-text", "firefox-audio", "webinfer")
VALUES: list[bytes] = [
    b"",
    os.urandom(64),
    b"x" * 300_000,
    b"[" * 50_000,
    b"-1",
    b"-1e309",
    b"NaN",
    b"null",
    b"[1]",
    b'{"queue": 7, "at": "NaN", "n": -1}',
    b'{"headers": null, "properties": null}',
    json.dumps([{"headers": [], "properties": {"delivery_tag": 5}}, 1, 2]).encode(),
]
SCORES = (float("-inf"), -1.0, 0.0, 4e9, float("inf"))


def wrong_types(client: redis.Redis, kinds: dict[str, str]) -> None:
    """Replace every key by one of another type."""
    for number, (key, kind) in enumerate(kinds.items()):
        client.delete(key)
        if kind == "string" or number % 2:
            client.rpush(key, b"junk") if kind != "list" else client.set(key, b"junk")
        else:
            client.set(key, VALUES[number % len(VALUES)])


def wrong_values(client: redis.Redis, kinds: dict[str, str]) -> None:
    """Add to every key what is of its type and nothing of ours."""
    for key, kind in kinds.items():
        for number, value in enumerate(VALUES):
            with suppress(redis.ResponseError):  # still of a wrong type from before
                push_value(client, key, kind, number, value)


def push_value(client: redis.Redis, key: str, kind: str, number: int, value: bytes) -> None:
    name = value[:100] or b"empty"
    match kind:
        case "string":
            client.set(key, value)
        case "hash":
            client.hset(key, mapping={name: value, f"junk-{number}".encode(): value})
        case "list":
            client.rpush(key, value)
        case "set" if not key.startswith("_kombu"):
            client.sadd(key, value)
        case "zset":
            client.zadd(key, {name: SCORES[number % len(SCORES)], f"junk-{number}": 0.0})
        case "stream":
            client.xadd(key, {name: value})


@contextmanager
def beat(folder: Path, environment: dict[str, str]) -> Iterator[Path]:
    log = folder / "beat.log"
    command = [sys.executable, "-m", "celery", "-A", "webinfer", "beat", "-l", "INFO"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=os.environ | environment)
    try:
        yield log
        assert process.poll() is None, log.read_text()[-3000:]
    finally:
        stop(process)


def test_junk_in_every_key_stops_nothing(settings: TaskSettings, tmp_path: Path) -> None:
    keys = RedisKeys(settings.redis_prefix)
    kinds = keys.kinds(QUEUES)
    runs = tmp_path / "runs"
    with own_server(settings) as server, workers(tmp_path) as start, server.client() as client:
        environment = {"WEBINFER_BROKER_URL": server.url}
        wrong_types(client, kinds)  # already there when all of it starts
        worker = start(**environment, MEMORY_RUNNER_LOG=str(runs)).ready()
        with workers(tmp_path, "webinfer") as start_other, beat(tmp_path, environment) as beat_log:
            watch = start_other("-P", "threads", "-c", "2", "-n", "watch@junk", queue="watch", **environment)
            until(lambda: infer.delay(**ASK).get(timeout=60)["success"])
            long = infer.delay(**ASK, options={"sleep_s": 14.0})
            until(lambda: runs.read_text().count("run bert") == 2)
            for push in (wrong_values, wrong_types, wrong_values):
                push(client, kinds)
                assert infer.delay(**ASK).get(timeout=60)["success"]
            n_sent = beat_log.read_text().count("Sending due task")
            assert long.get(timeout=60)["success"]
            assert runs.read_text().count("run bert") == 5, "the long one ran once"
            until(lambda: beat_log.read_text().count("Sending due task") > n_sent)
            watch.ready()
            until(lambda: not junk_left(client, keys))
            assert worker.process.poll() is None and watch.process.poll() is None
            assert "junk removed from Redis: key=webinfer:ledger " in worker.log.read_text()


def junk_left(client: redis.Redis, keys: RedisKeys) -> set[bytes]:
    """What is ours to clean and was not cleaned; the values of hashes go when they are read."""
    found = client.hkeys(UNACKED) + client.hkeys(keys.ledger) + client.zrange(UNACKED_INDEX, 0, -1)
    return {name for name in found + client.zrange(keys.ledger_seen, 0, -1) if _is_junk(name)}


def _is_junk(tag: bytes) -> bool:
    try:
        return not uuid.UUID(tag.decode())
    except ValueError:
        return True


@pytest.mark.parametrize("value", [b"many", b"-5", b"1" * 400, b"\xff\x00"])
def test_junk_in_the_count_of_deliveries_is_no_delivery(
    settings: TaskSettings, tmp_path: Path, value: bytes
) -> None:
    from workers.delivery.redelivery import Redeliveries

    with own_server(settings) as server, server.client() as client:
        key = RedisKeys(settings.redis_prefix).deliveries("a-task")
        client.set(key, value)
        assert Redeliveries(app).verdict("a-task", is_suspect=True) is None
        assert client.get(key) == b"1"
