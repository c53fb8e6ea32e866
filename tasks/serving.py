"""Which queues somebody serves now: each worker says so in Redis, and what it said expires by itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import redis

INTERVAL_S = 5.0
# Two announcements may be late or lost.
TTL_S = 16


def announce(client: redis.Redis, prefix: str, queues: Iterable[str]) -> None:
    """Say that this worker serves `queues`. Raises redis.RedisError."""
    with client.pipeline(transaction=False) as pipe:
        for queue in queues:
            pipe.set(_key(prefix, queue), 1, ex=TTL_S)
        pipe.execute()


def withdraw(client: redis.Redis, prefix: str, queues: Iterable[str]) -> None:
    """Say so no more; another worker of the queue says it again within seconds. Raises redis.RedisError."""
    client.delete(*(_key(prefix, queue) for queue in queues))


def served(client: redis.Redis, prefix: str, queues: Iterable[str]) -> frozenset[str]:
    """Those of `queues` that a worker serves. Raises redis.RedisError."""
    names = list(queues)
    told = client.mget([_key(prefix, name) for name in names])
    return frozenset(name for name, value in zip(names, told, strict=True) if value is not None)


def _key(prefix: str, queue: str) -> str:
    return f"{prefix}serving:{queue}"
