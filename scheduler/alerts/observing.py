"""Observes what the rules judge: the history through its worker, the rest in Redis."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import redis
from celery.utils.log import get_logger

from browser_runtime.contract.errors import BY_CODE, BadRequest, InferenceError
from scheduler.alerts.conditions import (
    BeatHealth,
    Conditions,
    DeadLetter,
    ErrorCount,
    OpenBreaker,
    QueueHealth,
    RedisState,
    Regression,
)
from scheduler.health.beats import read_beat
from scheduler.health.canaries import CanaryStore
from scheduler.history.history import QueryRow
from scheduler.naming import name_series
from scheduler.periods import PeriodKeys
from tasks.broker.kept_values import read_value
from tasks.broker.redis_health import read_clocks, read_memory, saves_fail
from tasks.keys import RedisKeys
from tasks.routing.router import QUEUE_OF

log = get_logger(__name__)

T = TypeVar("T")
Ask = Callable[..., list[QueryRow]]
"""`ask(name, **params)`: the rows of a named query. Raises InferenceError if the history does not answer."""

DAY_S = 86_400.0
# Health is sampled every few seconds; an older sample is of a session that has ended.
HEALTH_AGE_S = 60.0
LETTER_AGE_S = 3600.0
MAX_LETTERS = 200
# Bad requests, which would fail anywhere.
EXCUSED = tuple(code for code, kind in BY_CODE.items() if issubclass(kind, BadRequest))


class AlertObserver:
    """Observes queues, beat, history and dead letters. `prefix` is that of the Redis keys."""

    def __init__(
        self,
        client: redis.Redis,
        prefix: str,
        ask: Ask,
        regression_days: float,
        error_window_s: float,
        broker: redis.Redis | None = None,
        memory_share: float = 1.0,
    ) -> None:
        self._redis, self._prefix, self._ask = client, prefix, ask
        self._broker, self._memory_share = broker or client, memory_share
        self._regression_days, self._error_window_s = regression_days, error_window_s

    def observe(self, now_s: float) -> Conditions:
        """The conditions at `now_s`, seconds since 1970. Raises redis.RedisError."""
        regressions = self._answer(lambda: self._regressions(now_s))
        # Wait only once for a history that does not answer.
        breakers = None if regressions is None else self._answer(lambda: self._breakers(now_s))
        return Conditions(
            regressions=regressions,
            breakers=breakers,
            errors=None if breakers is None else self._answer(lambda: self._errors(now_s)),
            queues=self._queues(now_s),
            beat=self._beat(now_s),
            letters=self._letters(now_s),
            redis=self._redis_state(),
            history_away_s=self._lasting("history", breakers is None, now_s),
        )

    def _answer(self, question: Callable[[], T]) -> T | None:
        """The answer of the history; None, with a log line, if it does not answer."""
        try:
            return question()
        except InferenceError as error:
            log.warning("history unavailable: %s", error)
            return None

    def _regressions(self, now_s: float) -> list[Regression]:
        rows = self._ask("alerts_regressions", since_s=now_s - self._regression_days * DAY_S)
        return [_read_regression(row) for row in rows]

    def _breakers(self, now_s: float) -> list[OpenBreaker]:
        rows = self._ask("alerts_breakers", since_s=now_s - HEALTH_AGE_S)
        return [OpenBreaker(*(row[name] or "" for name in ("worker", "browser", "session"))) for row in rows]

    def _errors(self, now_s: float) -> list[ErrorCount]:
        since_s = now_s - self._error_window_s
        rows = self._ask("alerts_errors", since_s=since_s, excused=",".join(EXCUSED))
        return [
            ErrorCount(*(row[name] for name in ("model", "browser", "n", "n_failed", "codes")))
            for row in rows
        ]

    def _queues(self, now_s: float) -> list[QueueHealth]:
        store = CanaryStore(self._redis, self._prefix)
        canaries = ((queue, store.read(queue)) for queue in QUEUE_OF.values())
        return [
            QueueHealth(queue, canary.ok, canary.reason, now_s - canary.at)
            for queue, canary in canaries
            if canary
        ]

    def _beat(self, now_s: float) -> BeatHealth:
        state = read_beat(PeriodKeys(self._redis, self._prefix), now_s)
        dead_for_s = self._lasting("beat", state.is_dead, now_s)
        return BeatHealth(max(dead_for_s, state.silent_s or 0.0) if state.is_dead else 0.0, state.late)

    def _letters(self, now_s: float) -> list[DeadLetter]:
        """The recent dead letters, oldest first."""
        since = f"{int((now_s - LETTER_AGE_S) * 1000)}-0"
        found: Any = self._redis.xrevrange(RedisKeys(self._prefix).dead_letters, "+", since, MAX_LETTERS)
        return [DeadLetter(_text(fields, b"why"), _text(fields, b"queue")) for _, fields in reversed(found)]

    def _redis_state(self) -> RedisState:
        memory = read_memory(self._broker)
        clocks = read_clocks(self._redis, self._prefix)
        return RedisState(memory.used, memory.limit, self._memory_share, saves_fail(self._broker), clocks)

    def _lasting(self, name: str, is_bad: bool, now_s: float) -> float:
        """The number of seconds that it has been bad without a break; 0 if it is not bad."""
        key = RedisKeys(self._prefix).bad_since(name)
        if not is_bad:
            self._redis.delete(key)
            return 0.0
        self._redis.set(key, now_s, nx=True, ex=int(DAY_S))
        since = read_value(self._redis, key, float)
        return 0.0 if since is None or not math.isfinite(since) else max(now_s - since, 0.0)


def _read_regression(row: QueryRow) -> Regression:
    return Regression(
        name_series(json.loads(row["series"])),
        row["metric"],
        row["before"],
        row["after"],
        row["severity"],
        datetime.fromtimestamp(row["changed_at_s"], UTC).strftime("%Y-%m-%d %H:%M"),
        row["cause"],
    )


def _text(fields: dict[bytes, bytes], name: bytes) -> str:
    return fields.get(name, b"").decode(errors="replace")[:200]
