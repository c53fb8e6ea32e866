"""What Redis notes of the messages that workers hold: taken, renewed, returned. Each is one step in Redis.

Times are those of Redis itself, so the clocks of workers decide nothing. A message is on the ledger while it
waits and among the unacknowledged while it is held: to take it needs no more memory than it frees.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, cast

import redis

from tasks.broker.essential_writes import FIRST_WRITE
from tasks.keys import UNACKED, UNACKED_INDEX, RedisKeys
from tasks.sending.ledger import RECORDED

# Leases whose time is over that are looked at in one turn: a worker holds a few hundred at most.
MOST = 200
# A lease that begins so much later than now was not written by Redis's clock.
AHEAD_S = 5

SUSPECT = "after a death"
"""In the place of Celery's `redelivered`: the worker that held the message died, perhaps by it."""

NOW = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
"""
# Whatever lies at a key of ours and is of another type gives way.
PLACE = """
local function place(key, kind)
  local found = redis.call('TYPE', key).ok
  if found ~= kind and found ~= 'none' then redis.call('DEL', key) end
end
"""
TAKE = (
    FIRST_WRITE
    + NOW
    + PLACE
    + """
place(KEYS[1], 'zset')
place(KEYS[2], 'hash')
if KEYS[3] then
  place(KEYS[3], 'hash')
  place(KEYS[4], 'zset')
  redis.call('HDEL', KEYS[3], ARGV[1])
  redis.call('ZREM', KEYS[4], ARGV[1])
end
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
"""
)
# XX: never bring back a message that was acknowledged, or taken away, meanwhile.
RENEW = (
    FIRST_WRITE
    + NOW
    + """
for _, tag in ipairs(ARGV) do redis.call('ZADD', KEYS[1], 'XX', now, tag) end
"""
)
# An entry without a lease, or with one from the future, has one from now on.
# A Redis that has just started found every lease over: their holders have not come back yet.
OVERDUE = (
    FIRST_WRITE
    + NOW
    + f"""
local up = tonumber(string.match(redis.call('INFO', 'server'), 'uptime_in_seconds:(%d+)'))
local ahead = redis.call('ZRANGEBYSCORE', KEYS[1], now + {AHEAD_S}, '+inf', 'LIMIT', 0, {MOST})
for _, tag in ipairs(ahead) do redis.call('ZADD', KEYS[1], 'XX', now, tag) end
if redis.call('HLEN', KEYS[2]) > redis.call('ZCARD', KEYS[1]) then
  for _, tag in ipairs(redis.call('HKEYS', KEYS[2])) do redis.call('ZADD', KEYS[1], 'NX', now, tag) end
end
if up < tonumber(ARGV[1]) then return {{}} end
local found = {{}}
for _, tag in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1], 'LIMIT', 0, {MOST})) do
  found[#found + 1] = tag
end
return found
"""
)
# ARGV: tag, payload, which end of the lists, seconds since the last renewal (0: whatever that was).
RETURN = (
    FIRST_WRITE
    + NOW
    + PLACE
    + """
local lease = tonumber(ARGV[4])
if lease > 0 then
  local renewed = redis.call('ZSCORE', KEYS[1], ARGV[1])
  if renewed and tonumber(renewed) > now - lease then return 0 end
end
redis.call('ZREM', KEYS[1], ARGV[1])
if redis.call('HDEL', KEYS[2], ARGV[1]) == 0 then return 0 end
for i = 5, #KEYS do redis.call(ARGV[3], KEYS[i], ARGV[2]) end
if KEYS[3] ~= '' then
  place(KEYS[3], 'hash')
  place(KEYS[4], 'zset')
  redis.call('HSET', KEYS[3], ARGV[1], ARGV[2])
  redis.call('ZADD', KEYS[4], now, ARGV[1])
end
return 1
"""
)


class Holdings:
    """The unacknowledged messages of one Redis."""

    def __init__(self, client: redis.Redis, ledger_prefix: str) -> None:
        self._client, self._prefix = client, ledger_prefix
        register: Callable[[str], Any] = lambda text: redis.Redis.register_script(client, text)  # noqa: E731
        self._take, self._renew = register(TAKE), register(RENEW)
        self._overdue, self._return = register(OVERDUE), register(RETURN)

    def take(self, tag: str, entry: str, client: redis.Redis) -> None:
        """Note that a message was taken off its queue: `entry` is JSON of [message, exchange, queue]."""
        keys = [UNACKED_INDEX, UNACKED]
        if self._prefix:
            keys += [RedisKeys(self._prefix).ledger, RedisKeys(self._prefix).ledger_seen]
        self._take(keys=keys, args=[tag, entry], client=client)

    def renew(self, tags: Iterable[str]) -> None:
        """Mark messages as held just now."""
        self._renew(keys=[UNACKED_INDEX], args=list(tags))

    def overdue(self, lease_s: float) -> list[bytes]:
        """Tags of messages whose holders have not renewed them for `lease_s`."""
        found: list[bytes] = self._overdue(keys=[UNACKED_INDEX, UNACKED], args=[lease_s])
        return found

    def entry(self, tag: bytes | str, client: redis.Redis | None = None) -> bytes | None:
        """What is noted of a message; None if nobody holds it."""
        return cast("bytes | None", (client or self._client).hget(UNACKED, tag))

    def give_back(
        self,
        tag: bytes | str,
        message: dict[str, Any],
        lists: dict[str, str],
        *,
        first: bool = True,
        lease_s: float = 0.0,
        client: redis.Redis | None = None,
    ) -> bool:
        """Put a message into its queues again: `lists` are their names and Redis lists. False if it was late.

        `first`: before all that waits there. `lease_s`: only if it was not renewed for so long.
        """
        ledger = RedisKeys(self._prefix)
        recorded = self._prefix and any(queue in RECORDED for queue in lists)
        keys = [
            UNACKED_INDEX,
            UNACKED,
            ledger.ledger if recorded else "",
            ledger.ledger_seen,
            *lists.values(),
        ]
        args = [tag, json.dumps(message), "RPUSH" if first else "LPUSH", lease_s]
        return bool(self._return(keys=keys, args=args, client=client or self._client))

    def drop(self, tag: bytes | str) -> None:
        """Forget an entry that is no message."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.zrem(UNACKED_INDEX, tag)
        pipeline.hdel(UNACKED, tag)
        pipeline.execute()
