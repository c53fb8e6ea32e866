"""The ledger of messages that were sent and not acknowledged, recorded in the same step as the sending.

A worker that is killed between taking a message off its queue and noting that it holds it would lose it:
kombu does the one with BRPOP and the other with HSET, and no setting closes the gap. The record lets a sweep
(`workers.delivery.sweeping`) find such a message and send it again. It costs no round trip: it travels
with the push, and its removal with the acknowledgement.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from typing import Any

import kombu
from celery.app.amqp import AMQP
from kombu.connection import ConnectionPool, PooledConnection
from kombu.transport import redis as kombu_redis

from tasks.keys import RedisKeys
from tasks.routing.router import BROWSER_OF, INBOX

# Only what browsers answer is worth it: beat sends its tasks again anyway.
RECORDED: Collection[str] = (*BROWSER_OF, INBOX)


class RedisCommands(list[tuple[str, tuple[Any, ...]]]):
    """Redis commands that kombu would have sent, in order."""

    def add(self, name: str, *args: Any) -> None:
        """Called by kombu for each."""
        self.append((name, args))


class LedgerQoS(kombu_redis.QoS):
    """Custody that strikes a message off the ledger when it is acknowledged, or refused for good."""

    # kombu's stubs stop short of these, here and below.
    channel: Any
    _remove_from_indices: Any

    def ack(self, delivery_tag: str) -> None:
        """The message is done."""
        self._strike(delivery_tag)
        super(kombu_redis.QoS, self).ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """The message is refused: put back, or done."""
        if requeue:
            super().reject(delivery_tag, requeue=True)
        else:
            self.ack(delivery_tag)

    def _strike(self, tag: str) -> None:
        pipe = self._remove_from_indices(tag)
        if self.channel.ledger_prefix:
            keys = RedisKeys(self.channel.ledger_prefix)
            pipe.hdel(keys.ledger, tag)
            pipe.zrem(keys.ledger_seen, tag)
        pipe.execute()


class LedgerChannel(kombu_redis.Channel):
    """A channel that records what it puts into the queues of browsers."""

    QoS = LedgerQoS
    ledger_prefix = ""
    """Prefix of the ledger's keys; empty: nothing is recorded."""
    from_transport_options = (*kombu_redis.Channel.from_transport_options, "ledger_prefix")
    conn_or_acquire: Any
    unacked_key: str

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        if not self.ledger_prefix or queue not in RECORDED:
            super()._put(queue, message, **kwargs)
            return
        batch = kwargs.pop("_publish_batch", None)
        commands = RedisCommands()
        super()._put(queue, message, _publish_batch=commands, **kwargs)  # type: ignore[call-arg]
        keys = RedisKeys(self.ledger_prefix)
        tag = message["properties"]["delivery_tag"]
        payload = next(args[1] for name, args in commands if name == "lpush")
        commands.add("hset", keys.ledger, tag, payload)
        commands.add("zadd", keys.ledger_seen, {tag: time.time()})
        if batch is not None:
            for name, args in commands:
                batch.add(name, *args)
            return
        with self.conn_or_acquire() as client, client.pipeline() as pipe:
            for name, args in commands:
                getattr(pipe, name)(*args)
            pipe.execute()

    def _purge(self, queue: str) -> int:
        """Empty the queue, and forget what of it is recorded. The number of messages."""
        n: int = super()._purge(queue)
        if self.ledger_prefix and queue in RECORDED:
            with self.conn_or_acquire() as client:
                forget(client, self.ledger_prefix, queue, self.unacked_key)
        return n


class LedgerTransport(kombu_redis.Transport):
    """kombu's Redis transport with the ledger."""

    Channel = LedgerChannel


class Recording:
    """A connection that takes the transport with the ledger in the place of kombu's own for Redis."""

    def get_transport_cls(self) -> Any:
        """The class kombu would take, or ours in its place."""
        found = super().get_transport_cls()  # type: ignore[misc]
        return LedgerTransport if found is kombu_redis.Transport else found


class LedgerPooledConnection(Recording, PooledConnection):
    """One of a pool: kombu makes those of a class of its own, whatever class the first one had."""


class LedgerPool(ConnectionPool):
    """A pool of connections with the ledger."""

    def new(self) -> Any:
        """One more of them."""
        return LedgerPooledConnection(self, **dict(self.connection._info(resolve=False)))


class LedgerConnection(Recording, kombu.Connection):
    """A connection with the ledger, alone or as the first of a pool."""

    def Pool(self, limit: int | None = None, **kwargs: Any) -> LedgerPool:  # noqa: N802  # kombu's name
        """A pool of connections like this one."""
        return LedgerPool(self, limit, **kwargs)


class LedgerAmqp(AMQP):
    """Celery's messages over connections with the ledger."""

    Connection = LedgerConnection


def forget(client: Any, prefix: str, queue: str, unacked_key: str) -> None:
    """Strike off what was recorded for `queue` and is held by no worker."""
    keys = RedisKeys(prefix)
    held = set(client.hkeys(unacked_key))
    for tag, entry in client.hscan_iter(keys.ledger):
        if tag not in held and queue_of(json.loads(entry)) == queue:
            client.hdel(keys.ledger, tag)
            client.zrem(keys.ledger_seen, tag)


def queue_of(message: Mapping[str, Any]) -> str:
    """The queue a recorded message was put into: each is bound by its own name alone."""
    return str(message["properties"]["delivery_info"]["routing_key"])
