"""kombu's Redis transport, which a broken item in a queue cannot bring down.

Stock kombu lets the error of an item that is no envelope end the worker, or reconnect for ever; the next
worker would inherit the item. Here it is buried with the evidence.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty
from typing import Any

import kombu
import redis
from celery.utils.log import get_logger

from browser_runtime.contract.errors import BadRequest
from tasks.sending.ledger import LedgerChannel, LedgerConnection, LedgerQoS, LedgerTransport
from workers.delivery.envelope import check_item

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
        """The message is done; where its connection is gone it comes again, and is known to be answered.

        Stock kombu ends the worker here: a task that ran in a thread while the connection was lost is
        acknowledged through a channel that has none.
        """
        if self.channel.connection is None:
            log.warning("message not acknowledged, connection closed: tag=%s", delivery_tag)
        else:
            super().ack(delivery_tag)

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        """Put a message back into its queue, or drop and bury an entry that is none."""
        try:
            super().restore_by_tag(tag, client, leftmost)
        except BROKEN as error:
            entry = self.channel.client.hget(self.channel.unacked_key, tag)
            self.channel.connection.bury(f"broken unacknowledged entry: {error!r}"[:500], entry, tag=tag)
            self._remove_from_indices(tag).execute()

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


class SafeChannel(LedgerChannel):
    """A channel that buries queue items which are not JSON."""

    QoS = SafeQoS
    connection: Any

    def _do_restore_message(self, payload: Any, *args: Any, **kwargs: Any) -> None:
        """Put a message back, or bury an entry that is none: stock kombu drops it with a line in its log."""
        try:
            check_item(payload)
        except BadRequest as error:
            self.connection.bury(f"broken unacknowledged entry: {error}"[:500], payload)
        else:
            super()._do_restore_message(payload, *args, **kwargs)  # type: ignore[misc]

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
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


def safe_connection(bury: Bury) -> type[kombu.Connection]:
    """A connection class that uses the safe transport for Redis, and `bury` for what it finds broken."""

    class SafeConnection(LedgerConnection):
        def get_transport_cls(self) -> Any:
            found = super().get_transport_cls()
            return SafeTransport if found is LedgerTransport else found

        def bury(self, why: str, item: Any, **evidence: Any) -> None:
            bury(why, item, **evidence)

    return SafeConnection
