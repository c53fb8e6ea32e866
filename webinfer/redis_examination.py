"""Examines the Redis behind the queue: its memory, its saving, the clocks of those who use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import redis

from tasks.broker.redis_clients import connect_once
from tasks.broker.redis_health import MAX_SKEW_S, measure_skew, read_clocks, read_memory, saves_fail
from tasks.settings import TaskSettings

TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class RedisExam:
    """What was found."""

    reached: bool
    used_bytes: int = 0
    limit_bytes: int = 0
    ahead_s: float = 0.0
    """Seconds that this machine's clock is ahead of Redis's."""
    workers_ahead_s: Mapping[str, float] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def examine_redis(settings: TaskSettings) -> RedisExam:
    """The state of the Redis that `settings` name; one that is not there is no problem of this machine."""
    broker, results = (connect_once(url, TIMEOUT_S) for url in (settings.broker_url, settings.results))
    try:
        memory, fails, ahead_s = read_memory(broker), saves_fail(broker), measure_skew(broker)
        clocks = read_clocks(results, settings.redis_prefix)
    except redis.RedisError:
        return RedisExam(False)
    finally:
        broker.close()
        results.close()
    problems = []
    if memory.limit and memory.share > settings.redis_memory_share:
        problems.append(
            f"{memory.share:.0%} of its memory is used: requests are refused from"
            f" {settings.redis_memory_share:.0%} on (WEBINFER_REDIS_MEMORY_SHARE)"
        )
    if fails:
        problems.append("its last save failed: it may refuse all writes; its log says why")
    for whose, ahead in (("this machine", ahead_s), *sorted(clocks.items())):
        if abs(ahead) > MAX_SKEW_S:
            where = "ahead of" if ahead > 0 else "behind"
            problems.append(f"the clock of {whose} is {abs(ahead):.1f} s {where} that of Redis")
    return RedisExam(True, memory.used, memory.limit, round(ahead_s, 3), clocks, tuple(problems))
