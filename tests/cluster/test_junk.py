"""Junk in every key of ours: what reads them goes on, names it in the log and removes it."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis
from kombu import Consumer, Exchange, Queue
from kombu.transport.redis import Channel

from scheduler.alerts.store import AlertStore
from scheduler.autoscaling.desired import DesiredStore
from scheduler.health.beats import read_beat
from scheduler.health.canaries import CanaryStore
from scheduler.monitor.queues import QueueReader
from scheduler.periods import PeriodKeys
from tasks import app, infer
from tasks.broker.queue_depths import count_unacked, read_depths
from tasks.broker.redis_health import read_clocks, tell_clock
from tasks.keys import UNACKED, UNACKED_INDEX, RedisKeys
from tasks.settings import TaskSettings
from tests.cluster.conftest import until
from tests.cluster.redis_server import Server, own_server
from workers.delivery.leases import LeaseRenewer
from workers.delivery.redelivery import Redeliveries
from workers.delivery.transport import safe_connection

ASK: dict[str, Any] = {"model_type": "text", "model_name": "bert", "inputs": "hello", "browser": "chrome"}
QUEUE = "chrome-vision"
QUEUES = (QUEUE, "edge-text", "firefox-audio", "webinfer")
LEASE_S = 2
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


@pytest.fixture
def server(settings: TaskSettings) -> Iterator[Server]:
    with own_server(settings, redelivery_s=LEASE_S) as server:
        yield server


class Holder:
    """The part of a worker that takes and holds messages, in this process."""

    def __init__(self, url: str) -> None:
        self.buried: list[str] = []
        connect = safe_connection(lambda why, item, **evidence: self.buried.append(why))
        self.connection = connect(url, transport_options=app.conf.broker_transport_options)
        self.channel = self.connection.channel()
        prefix = app.settings.redis_prefix
        self.leases = LeaseRenewer(url, LEASE_S, prefix, RedisKeys(prefix).kinds(QUEUES))
        self.leases.hold(self.channel)
        self.taken: list[Any] = []

    def take(self) -> Any:
        """The next message of the queue."""
        queue = Queue(QUEUE, Exchange(QUEUE), QUEUE)
        with Consumer(self.channel, [queue], on_message=self.taken.append, accept=["tensor", "json"]):
            n = len(self.taken)
            while len(self.taken) == n:
                self.connection.drain_events(timeout=30)
        return self.taken[-1]

    def turn(self) -> None:
        """One turn of the leases' thread, which logs what it raises and goes on."""
        with suppress(redis.ResponseError):
            self.leases.turn()

    def close(self) -> None:
        self.channel.qos._delivered.clear()  # as if it had died
        self.connection.release()
        self.leases.stop()


@pytest.fixture
def holder(server: Server) -> Iterator[Holder]:
    found = Holder(server.url)
    yield found
    found.close()


def wrong_types(client: redis.Redis, kinds: dict[str, str]) -> None:
    """Replace every key by one of another type."""
    for number, (key, kind) in enumerate(kinds.items()):
        client.delete(key)
        if kind == "string" or (number % 2 and kind != "list"):
            client.rpush(key, b"junk")
        else:
            client.set(key, VALUES[number % len(VALUES)])


def wrong_values(client: redis.Redis, kinds: dict[str, str]) -> None:
    """Add to every key what is of its type and nothing of ours."""
    for key, kind in kinds.items():
        for number, value in enumerate(VALUES):
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


@pytest.mark.parametrize("pushes", [(wrong_values,), (wrong_types,), (wrong_types, wrong_values)])
def test_junk_in_every_key_is_named_and_removed(
    server: Server, holder: Holder, pushes: Any, caplog: pytest.LogCaptureFixture
) -> None:
    keys = RedisKeys(app.settings.redis_prefix)
    kinds = keys.kinds(QUEUES)
    with server.client() as client:
        for push in pushes:
            push(client, kinds)
            until(lambda: is_tidy(client, keys, kinds, holder))
            assert every_reader_reads(client, keys)
        removed = {word for text in caplog.messages for word in text.split() if word.startswith("key=")}
        assert removed and all(word.removeprefix("key=") in kinds for word in removed)
        result = infer.delay(**ASK)
        while (message := holder.take()).headers["id"] != result.id:
            message.ack()  # what of the junk is a message has been buried, not taken
        message.ack()
        assert not client.exists(UNACKED)


def is_tidy(client: redis.Redis, keys: RedisKeys, kinds: dict[str, str], holder: Holder) -> bool:
    """Take a turn of the leases; True once no key is of a wrong type and no junk is held or recorded."""
    client.delete(keys.ledger_lock)  # no other worker sweeps
    holder.turn()
    if any(client.type(key).decode() not in (kind, "none") for key, kind in kinds.items()):
        return False
    held = client.hkeys(UNACKED) + client.zrange(UNACKED_INDEX, 0, -1)
    return not any(map(_is_junk, held + client.hkeys(keys.ledger) + client.zrange(keys.ledger_seen, 0, -1)))


def _is_junk(tag: bytes) -> bool:
    try:
        return not uuid.UUID(tag.decode())
    except ValueError:
        return True


def every_reader_reads(client: redis.Redis, keys: RedisKeys) -> bool:
    """Everything that watches and decides finds nothing of its own, and can write anew."""
    prefix = keys.prefix
    assert not read_beat(PeriodKeys(client, prefix)).late
    desired, alerts, canaries = (kind(client, prefix) for kind in (DesiredStore, AlertStore, CanaryStore))
    assert (desired.read(), desired.events()) == ({}, [])
    assert (alerts.open_alerts(), alerts.notifications()) == ({}, {})
    assert [canaries.read(queue) or canaries.pending(queue) for queue in QUEUES] == [None] * len(QUEUES)
    tell_clock(client, prefix, "w@h")
    assert list(read_clocks(client, prefix)) == ["w@h"]
    assert app.routing.refresh().presence is not None
    assert set(read_depths(client, QUEUES).waiting) == set(QUEUES) and not count_unacked(client)
    reader = QueueReader(app.settings)
    assert len(reader.read(QUEUES, {}).queues) == len(QUEUES)
    reader.close()
    return True


@pytest.mark.parametrize("value", [b"many", b"-5", b"1" * 400, b"\xff\x00"])
def test_junk_in_the_count_of_deaths_is_no_death(server: Server, value: bytes) -> None:
    with server.client() as client:
        key = RedisKeys(app.settings.redis_prefix).deliveries("a-task")
        client.set(key, value)
        assert Redeliveries(app).verdict("a-task", is_suspect=True) is None
        assert client.get(key) == b"1"


# --- whose leases are looked after


def test_a_worker_that_lives_for_a_moment_sweeps_all_the_same(server: Server, holder: Holder) -> None:
    keys = RedisKeys(app.settings.redis_prefix)
    infer.delay(**ASK)
    with server.client() as client:
        tag = json.loads(client.rpop(QUEUE))["properties"]["delivery_tag"]  # taken, and never noted
        client.zadd(keys.ledger_seen, {tag: 1.0})
        holder.leases.turn()  # its first turn, and its last
        assert client.smembers(keys.ledger_suspects) == {tag.encode()}
        client.delete(keys.ledger_lock)
        younger = Holder(server.url)
        younger.leases.turn()
        younger.close()
        assert client.llen(QUEUE) == 1


def test_what_other_programs_hold_is_left_alone(server: Server, holder: Holder) -> None:
    """Celery's usual workers hold messages for an hour and renew nothing."""
    theirs = json.dumps([{"headers": {}, "properties": {"delivery_tag": "t"}}, "celery", "celery"])
    with server.client() as client:
        client.hset(Channel.unacked_key, "t", theirs)
        client.zadd(Channel.unacked_index_key, {"t": 1.0})
        for _ in range(3):
            holder.leases.turn()
        assert client.hget(Channel.unacked_key, "t") == theirs.encode()


def test_a_lease_that_is_over_is_seen_twice_before_it_is_taken_over(server: Server, holder: Holder) -> None:
    infer.delay(**ASK)
    tag = holder.take().delivery_tag
    other = Holder(server.url)
    with server.client() as client:
        until(lambda: client.info("server")["uptime_in_seconds"] > LEASE_S)
        client.zadd(UNACKED_INDEX, {tag: 1.0})  # as after a pause of Redis
        other.leases.turn()
        assert client.hexists(UNACKED, tag)
        holder.leases.turn()  # it lives
        other.leases.turn()
        assert client.hexists(UNACKED, tag)
        client.zadd(UNACKED_INDEX, {tag: 1.0})
        other.leases.turn()
        other.leases.turn()
        assert not client.hexists(UNACKED, tag) and client.llen(QUEUE) == 1
    other.close()
