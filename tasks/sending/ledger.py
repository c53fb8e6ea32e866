"""The ledger of messages that were sent and not taken yet, recorded in the same step as the sending.

A worker that is killed between taking a message off its queue and noting that it holds it would lose it:
kombu does the one with BRPOP and the other with HSET, and no setting closes the gap. The record lets a sweep
(`workers.delivery.sweeping`) find such a message and send it again. It costs no round trip: it travels
with the push, and its removal with the note of who holds it. A queue takes only so many messages.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any

import kombu
import redis
from celery.app.amqp import AMQP
from kombu.connection import ConnectionPool, PooledConnection
from kombu.transport import redis as kombu_redis

from browser_runtime.contract.errors import QueueFull
from tasks.broker.essential_writes import EssentialRedis
from tasks.broker.kept_values import is_wrong_type, remove_wrong_types
from tasks.keys import RedisKeys, queue_lists
from tasks.routing.router import BROWSER_OF, INBOX
from tasks.sending.continuation import is_following

# Only what browsers answer is worth it: beat sends its tasks again anyway.
RECORDED: Collection[str] = (*BROWSER_OF, INBOX)
FULL = "QUEUEFULL"
# Times are Redis's own: senders' clocks differ. LLEN and HLEN fail on another type, before any write.
PUSH = f"""
local most = tonumber(ARGV[3])
if most < 0 then
  redis.call('ZREM', KEYS[1], ARGV[1])
elseif most > 0 then
  local n = 0
  for i = 4, #KEYS do n = n + redis.call('LLEN', KEYS[i]) end
  if n >= most then return redis.error_reply('{FULL} ' .. n) end
end
redis.call('LLEN', KEYS[3])
redis.call('HLEN', KEYS[2])
redis.call('ZADD', KEYS[1], redis.call('TIME')[1], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('LPUSH', KEYS[3], ARGV[2])
"""


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
    max_queue_length = 0
    """The most messages that may wait in a queue of browsers; 0: any number."""
    essential = False
    """True in a process that serves: it writes whatever Redis's memory."""
    from_transport_options = (
        *kombu_redis.Channel.from_transport_options,
        "ledger_prefix",
        "max_queue_length",
        "essential",
    )
    conn_or_acquire: Any
    unacked_key: str
    pool: Any
    _commands_client: Any = None
    connection: Any

    def _lookup(self, exchange: str, routing_key: str, default: Any = None) -> Any:
        """The queues of a message; ours are bound by their own names, which need not be asked for."""
        if exchange == routing_key and routing_key in RECORDED:
            return [routing_key]
        return super()._lookup(exchange, routing_key, default)

    def _create_client(self, asynchronous: bool = False) -> Any:
        """kombu's client; that for commands is made once, where kombu makes several for each message."""
        if asynchronous:
            return super()._create_client(asynchronous=True)  # type: ignore[misc]
        if self._commands_client is None or self._commands_client.connection_pool is not self.pool:
            self._commands_client = super()._create_client()  # type: ignore[misc]
        return self._commands_client

    def _get_client(self) -> Any:
        return EssentialRedis if self.essential else super()._get_client()  # type: ignore[misc]

    def _get_pool(self, asynchronous: bool = False) -> Any:
        """The connections to Redis. Raises ConnectionError, after which kombu takes another channel."""
        if self.connection is None:
            raise redis.ConnectionError("the channel was closed while a message was sent")
        return super()._get_pool(asynchronous)  # type: ignore[misc]

    @cached_property
    def _push(self) -> Any:
        return redis.Redis.register_script(self._create_client(), PUSH)

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        """Push and record. Raises QueueFull unless the message follows a task that has been taken."""
        if not self.ledger_prefix or queue not in RECORDED:
            super()._put(queue, message, **kwargs)
            return
        batch = kwargs.pop("_publish_batch", None)
        commands = RedisCommands()
        super()._put(queue, message, _publish_batch=commands, **kwargs)  # type: ignore[call-arg]
        (name, (key, payload)), *more = commands
        ledger = RedisKeys(self.ledger_prefix)
        keys = [ledger.ledger_seen, ledger.ledger, key, *queue_lists(queue)]
        most = -1 if is_following() else self.max_queue_length
        args = [message["properties"]["delivery_tag"], payload, most]
        if batch is not None:
            for name, found in (("eval", (PUSH, len(keys), *keys, *args)), *more):
                batch.add(name, *found)
            return
        with self.conn_or_acquire() as client:
            try:
                self._push(keys=keys, args=args, client=client)
            except redis.ResponseError as error:
                if str(error).startswith(FULL):
                    raise QueueFull(queue, _too_long(self.max_queue_length)) from None
                if not is_wrong_type(error):
                    raise
                remove_wrong_types(client, ledger.kinds([queue]))
                self._push(keys=keys, args=args, client=client)

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


def _too_long(most: int) -> str:
    return f"it holds {most} requests, the most that WEBINFER_MAX_QUEUE_LENGTH allows"


def forget(client: Any, prefix: str, queue: str, unacked_key: str) -> None:
    """Strike off what was recorded for `queue` and is held by no worker."""
    keys = RedisKeys(prefix)
    held = set(client.hkeys(unacked_key))
    for tag, entry in client.hscan_iter(keys.ledger):
        if tag not in held and _lies_in(entry, queue):
            client.hdel(keys.ledger, tag)
            client.zrem(keys.ledger_seen, tag)


def queue_of(message: Mapping[str, Any]) -> str:
    """The queue a recorded message was put into: each is bound by its own name alone."""
    return str(message["properties"]["delivery_info"]["routing_key"])


def _lies_in(entry: bytes, queue: str) -> bool:
    """True if a record is of `queue`, or is none at all."""
    try:
        return queue_of(json.loads(entry)) == queue
    except (ValueError, TypeError, KeyError, RecursionError):
        return True
