"""Requests are accepted while Redis has memory left; the rest of it is kept for those who empty it.

How much is used is read once a second, and again when this process has sent an eighth of what was left. So
many senders together pass the share by little; what is above it takes the results of what already waits.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import redis

from browser_runtime.contract.errors import QueueFull
from tasks.broker.redis_clients import connect_once
from tasks.broker.redis_health import RedisMemory, read_memory

MAX_AGE_S = 1.0
# The part of the room left after whose use by this process alone the memory is read again.
PART = 8
# Bytes of Redis that a message takes besides its arrays: it lies in its queue and on the ledger.
MESSAGE_BYTES = 4096
# Redis tells its memory in a fraction of a millisecond; one that does not is away or overloaded.
TIMEOUT_S = 1.0


class Admission:
    """Refuses what would fill a Redis past `share` of its memory."""

    def __init__(self, urls: Iterable[str], share: float) -> None:
        # The Redis of messages, and that of results and large inputs if it is another.
        self._rooms = [Room(connect_once(url, TIMEOUT_S), share) for url in dict.fromkeys(urls)]

    def check(self, queue: str, values: object) -> None:
        """Count the arrays and texts of a request as sent. Raises QueueFull."""
        n_bytes = MESSAGE_BYTES + count_bytes(values)
        for room in self._rooms:
            room.take(queue, n_bytes)


class Room:
    """What is left of one Redis. Safe in threads: a race reads once more."""

    def __init__(self, client: redis.Redis, share: float) -> None:
        self._client, self._share = client, share
        self._memory = RedisMemory(0, 0)
        self._due, self._left, self._sent = 0.0, 0.0, 0

    def take(self, queue: str, n_bytes: int) -> None:
        """Count `n_bytes`. Raises QueueFull; a Redis that cannot be asked refuses nothing here."""
        if time.monotonic() >= self._due or self._sent + n_bytes > self._left / PART:
            try:
                self._look()
            except redis.RedisError:  # the message itself meets what is wrong
                return
        if self._memory.limit and self._sent + n_bytes > self._left:
            raise QueueFull(queue, _too_much(self._memory, self._share))
        self._sent += n_bytes

    def _look(self) -> None:
        self._memory = read_memory(self._client)
        self._left = self._share * self._memory.limit - self._memory.used
        self._due, self._sent = time.monotonic() + MAX_AGE_S, 0


def _too_much(memory: RedisMemory, share: float) -> str:
    return (
        f"Redis uses {memory.used / 1e6:.1f} of {memory.limit / 1e6:.1f} MB, and requests are accepted up to"
        f" {share:.0%} (WEBINFER_REDIS_MEMORY_SHARE)"
    )


def count_bytes(value: Any) -> int:
    """Bytes of the arrays and texts inside dicts and lists."""
    if isinstance(value, dict):
        return sum(map(count_bytes, value.values()))
    if isinstance(value, (list, tuple)):
        return sum(map(count_bytes, value))
    if isinstance(value, (str, bytes)):
        return len(value)
    return int(getattr(value, "nbytes", 0))
