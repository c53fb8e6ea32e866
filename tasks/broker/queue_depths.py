"""Numbers of messages in each queue: those that wait, those taken and not acknowledged yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.keys import UNACKED, queue_lists

if TYPE_CHECKING:
    import redis

# The queue's name ends each entry, so that a message of megabytes is neither parsed nor sent.
COUNT_UNACKED = """
local found = {}
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then return {} end
for _, entry in ipairs(redis.call('HVALS', KEYS[1])) do
  local queue = string.match(string.sub(entry, -300), '"([^"]*)"%s*%]$')
  if queue then found[queue] = (found[queue] or 0) + 1 end
end
local flat = {}
for queue, n in pairs(found) do flat[#flat + 1] = queue; flat[#flat + 1] = n end
return flat
"""


@dataclass(frozen=True, slots=True)
class QueueDepths:
    """Messages of one broker at one time."""

    waiting: Mapping[str, int]
    """By queue, of every priority."""
    n_unacked: int
    """Taken and not acknowledged, of all queues."""


def read_depths(client: redis.Redis, queues: Iterable[str]) -> QueueDepths:
    """Depths of `queues`, in one round trip to the broker. Raises redis.RedisError."""
    lists = {queue: queue_lists(queue) for queue in queues}
    pipeline = client.pipeline(transaction=False)
    for keys in lists.values():
        for key in keys:
            pipeline.llen(key)
    pipeline.hlen(UNACKED)
    # What is no list has no length.
    *lengths, n_unacked = (n if isinstance(n, int) else 0 for n in pipeline.execute(raise_on_error=False))
    each = iter(lengths)
    waiting = {queue: sum(int(next(each)) for _ in keys) for queue, keys in lists.items()}
    return QueueDepths(waiting, int(n_unacked))


def count_unacked(client: redis.Redis) -> dict[str, int]:
    """Messages taken and not acknowledged by queue, those of dead workers included. Raises RedisError."""
    flat: list[Any] = client.register_script(COUNT_UNACKED)(keys=[UNACKED])
    return {name.decode(): int(n) for name, n in zip(flat[::2], flat[1::2], strict=True)}
