"""The state of a Redis: its memory, whether it takes writes, how far the clocks of workers are from its own.

Leases go by Redis's clock alone. Workers' clocks still appear in waiting times and histories, so one that is
wrong is told.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.keys import RedisKeys

if TYPE_CHECKING:
    import redis

# A worker tells every few seconds; one that ended is forgotten.
CLOCK_AGE_S = 60.0
# NTP keeps a clock within milliseconds; more than this is no longer synchronised.
MAX_SKEW_S = 2.0


@dataclass(frozen=True, slots=True)
class RedisMemory:
    """Bytes of one Redis."""

    used: int
    limit: int
    """Its `maxmemory`; where it has none, the machine's memory. 0 if neither is told."""

    @property
    def share(self) -> float:
        """The used part of the limit; 0 where there is no limit."""
        return self.used / self.limit if self.limit else 0.0


def read_memory(client: redis.Redis) -> RedisMemory:
    """The memory of a Redis. Raises redis.RedisError."""
    info: Mapping[str, Any] = client.info("memory")
    limit = int(info.get("maxmemory", 0)) or int(info.get("total_system_memory", 0))
    return RedisMemory(int(info.get("used_memory", 0)), limit)


def saves_fail(client: redis.Redis) -> bool:
    """True if Redis refuses writes since it could not save. Raises redis.RedisError."""
    info: Mapping[str, Any] = client.info("persistence")
    return "err" in (info.get("rdb_last_bgsave_status"), info.get("aof_last_write_status"))


def measure_skew(client: redis.Redis) -> float:
    """Seconds that this machine's clock is ahead of Redis's. Raises redis.RedisError."""
    before = time.time()
    seconds, micros = client.time()
    return (before + time.time()) / 2 - (seconds + micros / 1e6)


def tell_clock(client: redis.Redis, prefix: str, worker: str) -> None:
    """Note how far this worker's clock is ahead. Raises redis.RedisError."""
    seconds, _ = client.time()
    wire = json.dumps({"ahead_s": round(measure_skew(client), 3), "at": seconds})
    key = RedisKeys(prefix).clocks
    with client.pipeline(transaction=False) as pipe:
        pipe.hset(key, worker, wire)
        pipe.expire(key, int(CLOCK_AGE_S))
        pipe.execute()


def read_clocks(client: redis.Redis, prefix: str) -> dict[str, float]:
    """Seconds that each live worker's clock is ahead of Redis's; what is no number is passed over."""
    now, _ = client.time()
    found: Any = client.hgetall(RedisKeys(prefix).clocks)
    read = {worker.decode(errors="replace"): _read_clock(wire, now) for worker, wire in found.items()}
    return {worker: ahead_s for worker, ahead_s in read.items() if ahead_s is not None}


def _read_clock(wire: bytes, now_s: float) -> float | None:
    try:
        told = json.loads(wire)
        ahead_s, at = float(told["ahead_s"]), float(told["at"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return ahead_s if math.isfinite(ahead_s) and now_s - at <= CLOCK_AGE_S else None
