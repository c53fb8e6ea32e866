"""Work done once per period, even by several processes: period keys for beats, locks for tasks.

Two beats do no harm: for each entry and period, only the first to take the key sends.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import redis
from redis.exceptions import LockNotOwnedError

from tasks.app import app
from tasks.broker.kept_values import read_fields, read_value
from tasks.keys import RedisKeys

DAY_S = 86_400.0


def period_number(now: float, interval_s: float) -> int:
    """The number of the period that contains `now` (Unix seconds)."""
    return int(now // interval_s)


class PeriodKeys:
    """Period keys of beat entries, and the time each was last sent."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client, self._keys = client, RedisKeys(prefix)

    def take(self, entry: str, interval_s: float, now: float) -> bool:
        """Take the period of `now`; False if it was taken before. Raises redis.RedisError."""
        key = self._keys.beat_period(entry, period_number(now, interval_s))
        is_ours = bool(self._client.set(key, f"{now:.3f}", nx=True, ex=max(int(2 * interval_s), 1)))
        if is_ours:
            self._client.hset(self._keys.beat_sent, entry, f"{now:.3f}")
        return is_ours

    def sent(self) -> dict[str, float]:
        """The time each entry was last sent, in Unix seconds."""
        return read_fields(self._client, self._keys.beat_sent, _unix_seconds)

    def beat(self, now: float) -> None:
        """Record a sign of life of beat."""
        self._client.set(self._keys.last_beat, f"{now:.3f}")

    def last_beat(self) -> float | None:
        """The last sign of life of a beat, in Unix seconds; None if there was none."""
        return read_value(self._client, self._keys.last_beat, _unix_seconds)


def _unix_seconds(wire: bytes) -> float:
    """The time in `wire`. Raises ValueError also for one that no clock of ours could have shown."""
    at_s = float(wire)
    if not 0 <= at_s <= time.time() + DAY_S:
        raise ValueError(f"{at_s} is no time")
    return at_s


def period_keys() -> PeriodKeys:
    """The period keys in the app's Redis."""
    return PeriodKeys(app.redis, app.settings.redis_prefix)


@contextmanager
def only_one(name: str, at_most_s: float) -> Iterator[bool]:
    """Hold a lock, without waiting: yields False if another process has it. Expires after `at_most_s`."""
    lock = app.redis.lock(RedisKeys(app.settings.redis_prefix).lock(name), timeout=at_most_s, blocking=False)
    is_ours = bool(lock.acquire())
    try:
        yield is_ours
    finally:
        if is_ours:
            with suppress(LockNotOwnedError):  # it has expired
                lock.release()
