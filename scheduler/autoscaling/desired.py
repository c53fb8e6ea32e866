"""What was decided, in Redis: written by the decision, read by scalers, pages and reports.

`<prefix>scaling:desired`: hash of queue -> JSON of the latest decision; `<prefix>scaling:events`: list of the
latest changes, newest first; `<prefix>scaling:changed`: channel that tells a scaler to look.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import redis

MAX_EVENTS = 500
# A subscription that hears nothing for so long asks again: a message may be lost with its connection.
ASK_AGAIN_S = 15.0


@dataclass(frozen=True, slots=True)
class Wish:
    """How many workers a queue should have."""

    queue: str
    n: int
    stop: tuple[str, ...]
    reason: str
    at: float
    dry_run: bool = False


class Desired:
    """The decisions in one Redis."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._hash, self._list = f"{prefix}scaling:desired", f"{prefix}scaling:events"
        self._channel = f"{prefix}scaling:changed"

    def write(self, queue: str, told: dict[str, Any]) -> None:
        """Keep the decision; where it changes something, as an event too, and tell the scalers."""
        pipeline = self._client.pipeline()
        pipeline.hset(self._hash, queue, json.dumps(told))
        if told["n"] != told["from"]:
            pipeline.lpush(self._list, json.dumps({"queue": queue} | told))
            pipeline.ltrim(self._list, 0, MAX_EVENTS - 1)
            pipeline.publish(self._channel, queue)
        pipeline.execute()

    def read(self) -> dict[str, Wish]:
        """The latest wish by queue."""
        found: dict[Any, Any] = self._client.hgetall(self._hash)
        wishes = (_wish(queue.decode(), json.loads(told)) for queue, told in found.items())
        return {wish.queue: wish for wish in wishes}

    def events(self, n: int = MAX_EVENTS) -> list[dict[str, Any]]:
        """The latest changes, newest first."""
        found: list[Any] = self._client.lrange(self._list, 0, n - 1)
        return [json.loads(told) for told in found]

    def forget(self, queue: str) -> None:
        """No wish for this queue any more."""
        self._client.hdel(self._hash, queue)

    def changes(self) -> Iterator[dict[str, Wish]]:
        """The wishes now, and after every change; for ever. Raises redis.RedisError where Redis goes away."""
        subscription: redis.client.PubSub = self._client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        with subscription:
            subscription.subscribe(self._channel)
            while True:
                yield self.read()
                subscription.get_message(timeout=ASK_AGAIN_S)


def _wish(queue: str, told: dict[str, Any]) -> Wish:
    return Wish(
        queue,
        int(told["n"]),
        tuple(told["stop"]),
        str(told["reason"]),
        float(told["at"]),
        bool(told["dry_run"]),
    )
