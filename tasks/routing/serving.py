"""Presence of workers: each announces its queues in Redis, where the announcement expires by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.keys import RedisKeys

if TYPE_CHECKING:
    import redis

INTERVAL_S = 5.0
# Two announcements may be late or lost.
TTL_S = 16
# For so long a queue's next worker may take to start: the same time that `webinfer up` gives a worker.
EXPECTED_S = 120


@dataclass(frozen=True, slots=True)
class Presence:
    """The queues that have a worker, as far as Redis knows."""

    served: frozenset[str]
    expected: frozenset[str]
    """Those whose worker is starting, or was there within the last two minutes."""


def announce(client: redis.Redis, prefix: str, queues: Iterable[str]) -> None:
    """Say that this worker serves `queues`. Raises redis.RedisError."""
    keys = RedisKeys(prefix)
    with client.pipeline(transaction=False) as pipe:
        for queue in queues:
            pipe.set(keys.serving(queue), 1, ex=TTL_S)
            pipe.set(keys.expected(queue), 1, ex=EXPECTED_S)
        pipe.execute()


def expect(client: redis.Redis, prefix: str, queues: Iterable[str]) -> None:
    """Say that a worker of `queues` is starting. Raises redis.RedisError."""
    keys = RedisKeys(prefix)
    with client.pipeline(transaction=False) as pipe:
        for queue in queues:
            pipe.set(keys.expected(queue), 1, ex=EXPECTED_S)
        pipe.execute()


def withdraw(client: redis.Redis, prefix: str, queues: Iterable[str]) -> None:
    """Serve them no more; another worker of the queue says it again within seconds. Raises redis.RedisError.

    They stay expected for a while, since most workers that stop are started again.
    """
    keys = RedisKeys(prefix)
    client.delete(*(keys.serving(queue) for queue in queues))


def served(client: redis.Redis, prefix: str, queues: Iterable[str]) -> frozenset[str]:
    """Those of `queues` that a worker serves. Raises redis.RedisError."""
    keys, names = RedisKeys(prefix), list(queues)
    return _present(names, client.mget([keys.serving(name) for name in names]))


def presence_keys(prefix: str, queues: Sequence[str]) -> list[str]:
    """The keys whose values `read_presence` reads."""
    keys = RedisKeys(prefix)
    return [*(keys.serving(queue) for queue in queues), *(keys.expected(queue) for queue in queues)]


def read_presence(queues: Sequence[str], values: Sequence[Any]) -> Presence:
    """The presence in the values of `presence_keys`."""
    n = len(queues)
    return Presence(_present(queues, values[:n]), _present(queues, values[n:]))


def _present(names: Sequence[str], values: Any) -> frozenset[str]:
    return frozenset(name for name, value in zip(names, values, strict=True) if value is not None)
