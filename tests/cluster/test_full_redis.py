"""Redis at its memory limit, or refusing every write: workers start, empty it, and nobody waits in vain."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Signature, chain

from browser_runtime.contract.errors import QueueFull
from tasks import app, infer
from tasks.keys import UNACKED, RedisKeys
from tasks.settings import TaskSettings
from tests.cluster.conftest import until, workers
from tests.cluster.redis_server import Server, own_server
from tests.processes import stop

FULL = ("--save", "", "--maxmemory", "8mb", "--maxmemory-policy", "noeviction")
ASK: dict[str, Any] = {"model_type": "text", "model_name": "bert", "inputs": "hello", "browser": "chrome"}


@pytest.fixture
def full(settings: TaskSettings) -> Iterator[Server]:
    """A Redis of 8 MB; its producer is let fill it to the last byte."""
    with own_server(settings, *FULL, redis_memory_share=1.0) as server:
        yield server


def fill(client: redis.Redis) -> None:
    """Add foreign junk until not even a byte more is taken."""
    for size in (4096, 64, 1):
        with suppress(redis.OutOfMemoryError):
            while True:
                client.rpush(f"foreign-{size}", os.urandom(size))


def queue_until_full() -> list[Any]:
    sent = []
    with pytest.raises(QueueFull):
        while True:
            sent.append(infer.delay(**ASK | {"inputs": "x" * 20_000}))
    return sent


def is_refused(client: redis.Redis, signature: Signature) -> bool:
    """Whether a Redis that was just filled refuses it; what runs beside may have given memory back.

    Where what runs beside fills it between the look at its memory and the message, Redis itself refuses.
    """
    fill(client)
    try:
        signature.delay()
    except QueueFull as error:
        assert any(why in str(error) for why in ("Redis uses", "Redis has no memory left"))
        return True
    return False


def test_workers_start_and_drain_a_redis_that_is_full(full: Server, tmp_path: Path) -> None:
    """Of requests first, then of what is not ours and stays: every start of four, every request answered."""
    sent = queue_until_full()
    with full.client() as client:
        fill(client)
        with pytest.raises(redis.OutOfMemoryError):
            client.set("anything", "at all")
    assert len(sent) > 50
    with workers(tmp_path) as start:
        started = [start(WEBINFER_BROKER_URL=full.url) for _ in range(4)]
        for worker in started:
            worker.ready()
        assert all(result.get(timeout=60)["success"] for result in sent)
        chained = chain(infer.s(**ASK), app.signature("say", queue="chrome-vision"))
        with full.client() as client:
            until(lambda: client.hlen(UNACKED) == 0)
            assert client.hlen(RedisKeys(app.settings.redis_prefix).ledger) == 0
            # Still full, of junk alone: what frees nothing does not end a worker either.
            until(lambda: is_refused(client, chained))
        with full.client() as client:
            client.delete("foreign-4096")
        assert chained.delay().get(timeout=60)["success"]
        assert all(worker.process.poll() is None for worker in started)
        logs = "".join(worker.log.read_text() for worker in started)
        assert "Traceback" not in logs


def test_a_request_held_while_redis_fills_runs_once(full: Server, tmp_path: Path) -> None:
    """Its lease is renewed and its result stored without a byte to spare."""
    log = tmp_path / "runs"
    with workers(tmp_path) as start:
        for _ in range(2):
            start(WEBINFER_BROKER_URL=full.url, MEMORY_RUNNER_LOG=str(log)).ready()
        held = infer.delay(**ASK, options={"sleep_s": 12.0})
        until(log.exists)
        with full.client() as client:
            fill(client)
        assert held.get(timeout=60)["success"]
        assert log.read_text().count("run bert") == 1


def test_beat_and_its_workers_survive_a_full_redis(full: Server, tmp_path: Path) -> None:
    with full.client() as client:
        fill(client)
    environment = {"WEBINFER_BROKER_URL": full.url}
    with workers(tmp_path, "webinfer") as start:
        watch = start("-P", "prefork", "-c", "1", queue="watch", **environment).ready()
        log = tmp_path / "beat.log"
        command = [sys.executable, "-m", "celery", "-A", "webinfer", "beat", "-l", "INFO"]
        with log.open("wb") as output:
            beat = subprocess.Popen(command, stdout=output, stderr=output, env=os.environ | environment)
        try:
            until(lambda: "scheduler.autoscaling" in watch.log.read_text())
            keys = RedisKeys(app.settings.redis_prefix)
            with full.client() as client:
                until(lambda: bool(client.exists(keys.last_beat)))
            assert beat.poll() is None and watch.process.poll() is None
        finally:
            stop(beat)


def test_a_queue_has_a_length(settings: TaskSettings) -> None:
    with own_server(settings, max_queue_length=3) as server:
        for _ in range(3):
            infer.delay(**ASK)
        with pytest.raises(QueueFull, match="WEBINFER_MAX_QUEUE_LENGTH"):
            infer.apply_async(kwargs=ASK, priority=9)
        with server.client() as client:
            assert client.llen("chrome-vision") == client.hlen("webinfer:ledger") == 3


def test_requests_leave_a_reserve_of_memory(settings: TaskSettings) -> None:
    with own_server(settings, *FULL, redis_memory_share=0.6) as server:
        with pytest.raises(QueueFull, match="WEBINFER_REDIS_MEMORY_SHARE"):
            while True:
                infer.delay(**ASK | {"inputs": "x" * 50_000})
        with server.client() as client:
            assert client.info("memory")["used_memory"] < 0.7 * 8 * 2**20
            client.set("there is", "room")


def refuse_writes(server: Server) -> None:
    """Let Redis fail to write its dump, as with a full disk: then it takes no writes."""
    blocking = server.folder / "dump.rdb" / "in the way"
    blocking.mkdir(parents=True)
    with server.client() as client:
        client.config_set("save", "1 1")
        until(lambda: _is_refused(client))


def _is_refused(client: redis.Redis) -> bool:
    try:
        client.set("something", "to save")
    except redis.ResponseError as error:
        assert "MISCONF" in str(error)
        return True
    return False


def let_save(server: Server) -> None:
    (server.folder / "dump.rdb" / "in the way").rmdir()
    (server.folder / "dump.rdb").rmdir()
    with server.client() as client:
        with suppress(redis.ResponseError):  # it is saving already
            client.bgsave()
        until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "ok")


def test_workers_wait_for_a_redis_that_takes_no_writes(settings: TaskSettings, tmp_path: Path) -> None:
    with own_server(settings) as server, workers(tmp_path) as start:
        first = start(WEBINFER_BROKER_URL=server.url).ready()
        running = infer.delay(**ASK, options={"until": str(tmp_path / "refusing")})
        until(first.runs.exists)
        refuse_writes(server)
        (tmp_path / "refusing").touch()
        second = start(WEBINFER_BROKER_URL=server.url)
        with pytest.raises(QueueFull, match="MISCONF"):
            infer.delay(**ASK)
        until(lambda: "MISCONF" in second.log.read_text())
        until(lambda: "MISCONF" in first.log.read_text())
        let_save(server)
        assert running.get(timeout=60)["success"]
        second.ready()
        assert infer.delay(**ASK).get(timeout=60)["success"]
        assert first.process.poll() is None and second.process.poll() is None
