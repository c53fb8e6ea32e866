"""Inputs of the rules: plain values, each None if it could not be observed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.broker.redis_health import MAX_SKEW_S


@dataclass(frozen=True, slots=True)
class Regression:
    """A series that became worse and has not recovered."""

    series: str
    """Model, browser, backend and so on, in one line."""
    metric: str
    before: float
    after: float
    severity: str
    changed_at: str
    cause: str = ""
    """The change of the environment at the same time."""


@dataclass(frozen=True, slots=True)
class OpenBreaker:
    """A session whose circuit breaker is open, because too many requests failed."""

    worker: str
    browser: str
    session: str


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """Recent runs of one model in one browser, and their failures other than bad requests."""

    model: str
    browser: str
    n: int
    n_failed: int
    codes: str
    """Errors with their counts, commonest first."""


@dataclass(frozen=True, slots=True)
class QueueHealth:
    """The latest canary of a queue."""

    queue: str
    ok: bool
    reason: str
    age_s: float


@dataclass(frozen=True, slots=True)
class BeatHealth:
    """The state of beat."""

    dead_for_s: float
    """0 while beat is alive."""
    late: tuple[str, ...] = ()
    """Entries that were not sent for several of their periods."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be read as a task. Its content may be private and is left out."""

    why: str
    queue: str


@dataclass(frozen=True, slots=True)
class RedisState:
    """The Redis that holds the queues, and the clocks of those who share it."""

    used_bytes: int
    limit_bytes: int
    accepted_share: float
    """The share of the limit up to which requests are accepted."""
    saves_fail: bool
    clocks: Mapping[str, float]
    """Seconds that each worker's clock is ahead of Redis's."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """One observation of everything."""

    regressions: Sequence[Regression] | None = None
    breakers: Sequence[OpenBreaker] | None = None
    errors: Sequence[ErrorCount] | None = None
    queues: Sequence[QueueHealth] | None = None
    beat: BeatHealth | None = None
    letters: Sequence[DeadLetter] | None = None
    redis: RedisState | None = None
    history_away_s: float = 0.0
    """Seconds since the analytics worker last answered; 0 if it answers."""


@dataclass(frozen=True, slots=True)
class AlertThresholds:
    """The limits above which a condition is an alert."""

    beat_dead_s: float = 30.0
    """Long enough for a restart, like the limit of the history."""
    history_away_s: float = 60.0
    canary_age_s: float = 300.0
    clock_skew_s: float = MAX_SKEW_S
    error_rate: float = 0.1
    """Share of a model's runs in a browser that may fail."""
