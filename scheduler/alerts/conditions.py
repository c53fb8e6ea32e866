"""What the rules look at: plain values, each None where it could not be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Regression:
    """A series that is worse than it was and has not come back."""

    series: str
    """Model, browser, backend and so on, in one line."""
    metric: str
    before: float
    after: float
    severity: str
    changed_at: str
    cause: str = ""
    """What of the environment changed at the same time."""


@dataclass(frozen=True, slots=True)
class OpenBreaker:
    """A session that takes no requests because too many failed."""

    worker: str
    browser: str
    session: str


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """Runs of one model in one browser of late, and those of them that failed by no fault of who asked."""

    model: str
    browser: str
    n: int
    n_failed: int
    codes: str
    """Errors with their counts, commonest first."""


@dataclass(frozen=True, slots=True)
class QueueLife:
    """What the canary of a queue came back with."""

    queue: str
    ok: bool
    reason: str
    age_s: float


@dataclass(frozen=True, slots=True)
class BeatLife:
    """Whether somebody sends what the timetable says."""

    dead_for_s: float
    """0 while a beat lives."""
    late: tuple[str, ...] = ()
    """Entries that were not sent for several of their periods."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be a task. Its content is not shown: it may be anybody's."""

    why: str
    queue: str


@dataclass(frozen=True, slots=True)
class Conditions:
    """One look at everything."""

    regressions: Sequence[Regression] | None = None
    breakers: Sequence[OpenBreaker] | None = None
    errors: Sequence[ErrorCount] | None = None
    queues: Sequence[QueueLife] | None = None
    beat: BeatLife | None = None
    letters: Sequence[DeadLetter] | None = None
    history_away_s: float = 0.0
    """How long the analytics worker has not answered; 0: it has."""


@dataclass(frozen=True, slots=True)
class AlertThresholds:
    """What is still all right."""

    beat_dead_s: float = 30.0
    """A beat that has just been started, or is restarted, is no alarm; nor is an analytics worker."""
    history_away_s: float = 60.0
    canary_age_s: float = 300.0
    error_rate: float = 0.1
    """Share of a model's runs in a browser that may fail."""
