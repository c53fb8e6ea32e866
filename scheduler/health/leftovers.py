"""Removes Redis keys of ours that were left without an expiry."""

from __future__ import annotations

from itertools import islice

import redis

from tasks.keys import RESULTS, RedisKeys
from tasks.settings import TaskSettings

SCAN_COUNT = 1000


def end_keys(client: redis.Redis, settings: TaskSettings) -> int:
    """Set an expiry on results, claims and delivery counts that have none; returns their number."""
    keys = RedisKeys(settings.redis_prefix)
    lives = {
        RESULTS: settings.result_ttl_s,
        keys.claim("*"): settings.claim_ttl_s,
        keys.deliveries("*"): settings.result_ttl_s,
    }
    return sum(_end_matching(client, pattern, ttl_s) for pattern, ttl_s in lives.items())


def _end_matching(client: redis.Redis, pattern: str, ttl_s: int) -> int:
    keys, n = client.scan_iter(match=pattern, count=SCAN_COUNT), 0
    while batch := list(islice(keys, SCAN_COUNT)):
        pipeline = client.pipeline(transaction=False)
        for key in batch:
            pipeline.expire(key, ttl_s, nx=True)  # only if it has none
        n += sum(map(bool, pipeline.execute()))
    return n
