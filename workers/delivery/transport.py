"""kombu's Redis transport, which a broken item in a queue cannot bring down.

Stock kombu lets the error of an item that is no envelope end the worker, or reconnect for ever; the next
worker would inherit the item. Here it is buried with the evidence.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from queue import Empty
from typing import Any

import kombu
import redis
from celery.utils.log import get_logger
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from kombu.utils.json import dumps

from browser_runtime.contract.errors import BadRequest
from tasks.broker.essential_writes import WritesRefused, find_refusal
from tasks.broker.kept_values import is_wrong_type, remove_wrong_types
from tasks.broker.redis_clients import REDIS_AWAY
from tasks.keys import RedisKeys, queue_kinds
from tasks.sending.ledger import LedgerChannel, LedgerConnection, LedgerQoS, LedgerTransport
from workers.delivery.envelope import check_item
from workers.delivery.holding import SUSPECT, Holdings

log = get_logger(__name__)

Bury = Callable[..., None]
# What broken content raises. kombu counts KeyError among the errors of a lost connection, and reconnects.
BROKEN = (ValueError, TypeError, KeyError, AttributeError, RecursionError)


class SafeQoS(LedgerQoS):
    """Custody of unacknowledged messages that survives a broken entry."""

    # kombu's stubs stop short of these, here and below.
    channel: Any
    _remove_from_indices: Any
    _delivered: Any

    def ack(self, delivery_tag: str) -> None:
        """The message is done."""
        self._settle(delivery_tag, super().ack)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """The message goes back to its queue, or is done."""
        self._settle(delivery_tag, partial(super().reject, requeue=requeue))

    def _settle(self, tag: str, settle: Callable[[str], None]) -> None:
        """Where Redis is away, or the connection gone, hold it no more: it comes again after its lease.

        Stock kombu ends the worker where a task that ran in a thread is acknowledged through a closed
        channel, and keeps what it could not acknowledge, with its slot, for ever. A message that was
        answered is known to be when it comes again.
        """
        try:
            if self.channel.connection is None:
                raise redis.ConnectionError("the connection is closed")
            try:
                settle(tag)
            except redis.ResponseError as error:
                self.channel.tidy(error)
                settle(tag)
        except REDIS_AWAY as error:
            log.warning("message comes again after its lease: tag=%s error=%r", tag, error)
            super(kombu_redis.QoS, self).ack(tag)

    def append(self, message: Any, delivery_tag: str) -> None:
        """A message was taken: note it before anything else, in one step that needs no memory."""
        delivery = message.delivery_info
        entry = dumps([message._raw, delivery["exchange"], delivery["routing_key"]])
        with self.channel.conn_or_acquire() as client:
            self.channel.holdings.take(delivery_tag, entry, client)
        super(kombu_redis.QoS, self).append(message, delivery_tag)

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: what a dead worker held is taken over by `workers.delivery.leases`."""

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        """Put a message back into its queue, or drop and bury an entry that is none."""
        with self.channel.conn_or_acquire(client) as found:
            self.channel.give_back(tag, found, first=not leftmost)

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """Put back what is held when the channel closes; where Redis is gone, it does so itself later.

        Stock kombu ends the worker here: the consumer closes a lost channel twice, and the second time there
        is neither a connection to restore with nor, as kombu asserts, nothing left to restore.
        """
        try:
            super().restore_unacked_once(stderr)
        except (AttributeError, AssertionError, OSError, redis.RedisError) as error:
            log.warning(
                "messages return after the redelivery time: n=%s error=%r", len(self._delivered), error
            )
            self._delivered.clear()


class SafeMessage(virtual.Message):
    """A message that may be settled more than once, which counts once.

    A task that ends in a finisher's thread while Celery's own revokes it is acknowledged by both, and stock
    kombu ends the worker at the second time.
    """

    def ack(self, multiple: bool = False) -> None:
        """The message is done."""
        if not self.acknowledged:
            super().ack(multiple)

    def reject(self, requeue: bool = False) -> None:
        """The message is refused."""
        if not self.acknowledged:
            super().reject(requeue)


class SafeChannel(LedgerChannel):
    """A channel that buries queue items which are not JSON."""

    QoS = SafeQoS
    Message = SafeMessage
    # kombu's stubs stop short of these.
    connection: Any
    _get_message_priority: Any
    _lookup: Any
    _q_for_pri: Any
    _active_queues: list[str]

    @cached_property
    def holdings(self) -> Holdings:
        """What this worker and others hold."""
        return Holdings(self._create_client(), self.ledger_prefix)

    def give_back(self, tag: Any, client: Any, *, first: bool = True, lease_s: float = 0.0) -> str | None:
        """Put a message back, marked as redelivered; its task's id. An entry that is none is buried.

        One whose lease is over is a suspect: its worker died. None where it was not there, or where its lease
        was renewed meanwhile.
        """
        entry = self.holdings.entry(tag, client)
        try:
            message: Any
            message, exchange, routing_key = json.loads(entry) if entry else (None, "", "")
            check_item(message)
            info = message["properties"]["delivery_info"]
            message["headers"]["redelivered"] = True
            info["redelivered"] = SUSPECT if lease_s or info.get("redelivered") == SUSPECT else True
            priority = self._get_message_priority(message, reverse=False)
            queues = self._lookup(exchange, routing_key)
            lists = {str(queue): self._q_for_pri(queue, priority) for queue in queues}
        except (BadRequest, *BROKEN) as error:
            if entry is not None:
                why = str(error) if isinstance(error, BadRequest) else repr(error)
                self.connection.bury(f"broken unacknowledged entry: {why}"[:500], entry, tag=tag)
            self.holdings.drop(tag)
            return None
        back = self.holdings.give_back(tag, message, lists, first=first, lease_s=lease_s, client=client)
        return str(message["headers"].get("id")) if back else None

    def tidy(self, error: redis.ResponseError) -> None:
        """Remove what lies in the place of our keys, if that is what Redis says; else raise its error."""
        if not is_wrong_type(error):
            raise error
        queues, prefix = self._active_queues, self.ledger_prefix
        kinds = RedisKeys(prefix).kinds(queues) if prefix else queue_kinds(queues)
        remove_wrong_types(self._create_client(), kinds)

    def _restore(self, message: Any, leftmost: bool = False) -> None:
        with self.conn_or_acquire() as client:
            self.give_back(message.delivery_tag, client, first=not leftmost)

    def _receive(self) -> Any:
        with _refusals_as_outages():
            return super()._receive()  # type: ignore[misc]

    def _brpop_read(self, **options: Any) -> Any:
        try:
            with _refusals_as_outages():
                return super()._brpop_read(**options)  # type: ignore[misc]
        except redis.ResponseError as error:
            self.tidy(error)
            raise Empty from error
        except BROKEN as error:
            raw = getattr(error, "doc", None) or getattr(error, "object", "")
            self.connection.bury(f"queue item is not JSON: {error!r}"[:500], raw)
            raise Empty from error


class SafeTransport(LedgerTransport):
    """A transport that buries JSON items which are not kombu envelopes."""

    Channel = SafeChannel
    client: Any

    def bury(self, why: str, item: Any, **evidence: Any) -> None:
        """Keep the evidence of a broken item."""
        self.client.bury(why, item, **evidence)

    def _deliver(self, message: Any, queue: str | None) -> None:
        try:
            check_item(message)
            super()._deliver(message, queue)
        except (BadRequest, *BROKEN) as error:
            why = str(error) if isinstance(error, BadRequest) else repr(error)
            self.bury(f"queue item is not a message: {why}"[:500], message, queue=queue)


@contextmanager
def _refusals_as_outages() -> Iterator[None]:
    """Redis's word that it takes no writes is raised as a lost connection, which Celery waits to end."""
    try:
        yield
    except redis.ResponseError as error:
        if reason := find_refusal(error):
            raise WritesRefused(reason) from error
        raise


def safe_connection(bury: Bury) -> type[kombu.Connection]:
    """A connection class that uses the safe transport for Redis, and `bury` for what it finds broken."""

    class SafeConnection(LedgerConnection):
        def get_transport_cls(self) -> Any:
            found = super().get_transport_cls()
            return SafeTransport if found is LedgerTransport else found

        def bury(self, why: str, item: Any, **evidence: Any) -> None:
            bury(why, item, **evidence)

    return SafeConnection
