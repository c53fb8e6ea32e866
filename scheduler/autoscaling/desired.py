"""Decisions in Redis: written by the autoscaler, read by scalers, pages and reports.

`<prefix>scaling:desired`: hash of queue -> JSON of the latest decision; `<prefix>scaling:events`: list of the
latest changes, newest first; `<prefix>scaling:changed`: channel that wakes scalers.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import redis

from tasks.broker.kept_values import BROKEN, read_fields
from tasks.keys import RedisKeys

log = logging.getLogger(__name__)

MAX_EVENTS = 500
# A subscriber reads again after this time: a message may be lost with its connection.
ASK_AGAIN_S = 15.0


@dataclass(frozen=True, slots=True)
class DesiredWorkers:
    """The number of workers that a queue should have, and the reason."""

    queue: str
    n: int
    stop: tuple[str, ...]
    """The workers to stop, by name."""
    reason: str
    at: float
    """Unix time of the decision."""
    dry_run: bool = False
    n_before: int = 0
    factors: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def is_change(self) -> bool:
        """True if it differs from the number before."""
        return self.n != self.n_before

    def to_wire(self) -> str:
        """JSON; `from_wire` is the inverse."""
        return json.dumps(asdict(self))

    @classmethod
    def from_wire(cls, text: str | bytes) -> Self:
        """The value in `text`. Raises ValueError, KeyError or TypeError for anything else."""
        found = json.loads(text)
        return cls(
            str(found["queue"]),
            int(found["n"]),
            tuple(found["stop"]),
            str(found["reason"]),
            float(found["at"]),
            bool(found["dry_run"]),
            int(found["n_before"]),
            dict(found["factors"]),
        )


class DesiredStore:
    """The decisions in one Redis."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client, self._keys = client, RedisKeys(prefix)

    def write(self, desired: DesiredWorkers) -> None:
        """Store the decision; if it changes the number, also as an event, and wake the scalers."""
        pipeline, wire = self._client.pipeline(), desired.to_wire()
        pipeline.hset(self._keys.desired_workers, desired.queue, wire)
        if desired.is_change:
            pipeline.lpush(self._keys.scaling_events, wire)
            pipeline.ltrim(self._keys.scaling_events, 0, MAX_EVENTS - 1)
            pipeline.publish(self._keys.scaling_changed, desired.queue)
        pipeline.execute()

    def read(self) -> dict[str, DesiredWorkers]:
        """The latest decision by queue."""
        return read_fields(self._client, self._keys.desired_workers, DesiredWorkers.from_wire)

    def events(self, n: int = MAX_EVENTS) -> list[DesiredWorkers]:
        """The latest changes, newest first."""
        found: list[Any] = self._client.lrange(self._keys.scaling_events, 0, n - 1)
        read = []
        for wire in found:
            try:
                read.append(DesiredWorkers.from_wire(wire))
            except BROKEN:  # it leaves the list by itself, behind newer ones
                log.error("junk passed over: key=%s value=%.80r", self._keys.scaling_events, wire)
        return read

    def forget(self, queue: str) -> None:
        """Remove the decision of this queue."""
        self._client.hdel(self._keys.desired_workers, queue)

    def changes(self) -> Iterator[dict[str, DesiredWorkers]]:
        """The decisions now and after every change, endlessly. Raises redis.RedisError if Redis is down."""
        subscription: redis.client.PubSub = self._client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        with subscription:
            subscription.subscribe(self._keys.scaling_changed)
            while True:
                yield self.read()
                subscription.get_message(timeout=ASK_AGAIN_S)
