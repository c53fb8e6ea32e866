"""Requests that lie where nobody takes them move to the inbox, which every worker with a browser empties.

They lie in Celery's own default queue, where programs send what they call by its name alone, and in queues of
browsers whose last worker is gone. They are picked out, never taken: what others keep in a queue stays there.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from celery.utils.log import get_logger

from tasks.app import WebinferApp
from tasks.broker.essential_writes import EssentialRedis
from tasks.broker.redis_clients import connect
from tasks.keys import RedisKeys, queue_lists
from tasks.periodic import PeriodicThread
from tasks.routing.router import DEFAULT_QUEUE, INBOX, QUEUE_OF
from tasks.routing.serving import presence_keys, read_presence
from tasks.sending.headers import FIXED

log = get_logger(__name__)

# A list tells nobody that it has grown. A look costs one round trip, and is what a request waits at most.
LOOK_S = 0.25
# Workers announce themselves every five seconds.
STRANDED_S = 5.0
# Items at either end of a list that every look reads; a longer list is read whole now and then.
ENDS, WHOLE_S = 250, 30.0
CHUNK = 500
QUEUES = tuple(QUEUE_OF.values())
IS_INFERENCE = re.compile(rb'"task":\s*"infer(_many)?"')
# The item goes from one list to the other only if it is still in the first; the ledger follows it.
MOVE = """
if redis.call('LREM', KEYS[1], -1, ARGV[1]) == 0 then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[2])
if KEYS[3] then
  redis.call('HSET', KEYS[3], ARGV[3], ARGV[2])
  redis.call('ZADD', KEYS[4], redis.call('TIME')[1], ARGV[3])
end
return 1
"""

Message = dict[str, Any]


class Collector:
    """A thread that looks, until it is stopped."""

    def __init__(self, app: WebinferApp) -> None:
        self._app = app
        self._broker, self._results = connect(app.settings.broker_url, EssentialRedis), app.redis
        self._move = self._broker.register_script(MOVE)
        self._stranded_due = self._whole_due = 0.0
        self._thread = PeriodicThread("collector", self.look, LOOK_S)

    def start(self) -> None:
        """Start looking."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._thread.stop()
        self._broker.close()

    def look(self) -> None:
        """Move what is to be moved now. Raises redis.RedisError."""
        self.collect(DEFAULT_QUEUE, _is_inference)
        now = time.monotonic()
        if now >= self._stranded_due:
            self._stranded_due = now + STRANDED_S
            for queue in self._unserved():
                self.collect(queue, _is_free)

    def _unserved(self) -> list[str]:
        """Browsers' queues that have no worker and expect none."""
        values: Any = self._results.mget(presence_keys(self._app.settings.redis_prefix, QUEUES))
        presence = read_presence(QUEUES, values)
        return [queue for queue in QUEUES if queue not in presence.served | presence.expected]

    def collect(self, queue: str, is_wanted: Callable[[Message], bool]) -> int:
        """Move the wanted messages of `queue` to the inbox; how many those were."""
        pipeline = self._broker.pipeline(transaction=False)
        for key in queue_lists(queue):
            pipeline.llen(key)
        # What is no list, another program's key perhaps, has no length.
        lengths = [n if isinstance(n, int) else 0 for n in pipeline.execute(raise_on_error=False)]
        n_moved = 0
        for key, target, length in zip(queue_lists(queue), queue_lists(INBOX), lengths, strict=True):
            # The oldest first, so that they keep their order.
            for item in self._items(key, length):
                message = _decode(item)
                if message is not None and is_wanted(message):
                    n_moved += self._move_to_inbox(key, target, item, message)
        return n_moved

    def _items(self, key: str, length: int) -> Iterator[bytes]:
        if length > 2 * ENDS and time.monotonic() < self._whole_due:
            for ends in ((-ENDS, -1), (0, ENDS - 1)):
                yield from reversed(self._read(key, *ends))
            return
        if length > 2 * ENDS:
            self._whole_due = time.monotonic() + WHOLE_S
        for stop in range(length, 0, -CHUNK):
            yield from reversed(self._read(key, max(stop - CHUNK, 0), stop - 1))

    def _read(self, key: str, start: int, end: int) -> list[bytes]:
        found: Any = self._broker.lrange(key, start, end)
        return list(found)

    def _move_to_inbox(self, source: str, target: str, item: bytes, message: Message) -> int:
        moved = json.dumps(_addressed_to_inbox(message))
        keys = [source, target]
        values: list[str | bytes] = [item, moved]
        if prefix := self._app.settings.ledger_prefix:
            ledger = RedisKeys(prefix)
            keys += [ledger.ledger, ledger.ledger_seen]
            values.append(message["properties"]["delivery_tag"])
        n_moved = int(self._move(keys=keys, args=values))
        if n_moved:
            log.info("request moved: task=%s from=%s to=%s", message["headers"].get("id"), source, target)
        return n_moved


def _decode(item: bytes) -> Message | None:
    """The message in an item of a list where it can be one of ours; None for all others."""
    if not IS_INFERENCE.search(item):
        return None
    try:
        message = json.loads(item)
        whole = isinstance(message["headers"], dict) and isinstance(message["properties"], dict)
        return message if whole and message["properties"]["delivery_tag"] else None
    except (ValueError, TypeError, KeyError):
        return None


def _is_inference(message: Message) -> bool:
    return message["headers"].get("task") in ("infer", "infer_many")


def _is_free(message: Message) -> bool:
    """True if its sender named neither queue nor browser."""
    return _is_inference(message) and message["headers"].get(FIXED) is False


def _addressed_to_inbox(message: Message) -> Message:
    delivery = message["properties"].get("delivery_info") or {}
    delivery = delivery | {"exchange": "", "routing_key": INBOX}
    return message | {"properties": message["properties"] | {"delivery_info": delivery}}
