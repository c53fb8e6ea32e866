"""The facts of a report as plain values. Times are seconds since 1970, UTC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.experiments.rows import Experiment
from scheduler.reports.trend_facts import Course, ReportedChange, Trend

# The value of a backend that answered a golden check (tasks/telemetry/rows.py).
PROVED = "proved"


@dataclass(frozen=True, slots=True)
class Totals:
    """The report in one line."""

    n_runs: int
    n_failed: int
    n_simulated: int
    n_models: int
    n_browsers: int
    n_sessions: int
    first_s: float | None = None
    """Start of the first run, in epoch seconds."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The browser that a model should run in, of those it was measured on.

    By the estimates of the routing table (scheduler/routing/ranking.py), from the runs of the whole span.
    """

    model: str
    precision: str
    browser: str
    backend: str
    expected_ms: float
    """Of one run at the model's usual batch size, failures included."""
    chance: float
    """That it is the quickest of all."""
    n_runs: int
    """Of the model, on all browsers."""
    next_browser: str
    """The next best that was measured; empty where there is none."""
    next_ratio: float | None
    """The time that one is expected to take, over `expected_ms`."""


@dataclass(frozen=True, slots=True)
class BrowserRow:
    """A model on one browser and backend, next to where it is quickest."""

    model: str
    browser: str
    backend: str
    precision: str
    browser_build: str
    adapter: str
    is_software: bool | None
    n: int
    n_failed: int
    p50_ms: float | None
    p95_ms: float | None
    total_p50_ms: float | None
    memory_mb: float | None
    to_best: float | None
    """Its median over the least median of the same model."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """Features by browser: `cells[feature][browser]`, an empty text where nothing is known."""

    browsers: Sequence[str]
    builds: dict[str, str]
    cells: dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class CapabilityChange:
    """A feature that a browser gained or lost."""

    at_s: float
    browser: str
    feature: str
    value_before: str
    value: str
    build_before: str
    browser_build: str

    @property
    def is_loss(self) -> bool:
        """True for a backend that was proved and is so no more."""
        return self.value_before == PROVED and self.value != PROVED


@dataclass(frozen=True, slots=True)
class ConnectionRow:
    """An event of a browser's sessions, with its count: died, recycled and so on."""

    browser: str
    event: str
    n: int
    last_at_s: float
    last_reason: str


@dataclass(frozen=True, slots=True)
class SharingRow:
    """What the models of a browser's sessions shared; counts of all sessions together."""

    browser: str
    n_sessions: int
    n_graphs: int
    """Distinct graphs and weights that were open, where a session saved most."""
    n_uses: int
    """Uses of them by models at that time."""
    saved_bytes: int
    """What would have been held besides if each use had its own."""
    n_results: int
    """Results of encoders that were kept, where they took most."""
    result_bytes: int
    hits: int
    """Results that were taken instead of computed, within the span."""
    misses: int
    hit_bytes: int


@dataclass(frozen=True, slots=True)
class RecallRow:
    """Runs of a model in one place, and those that took results of earlier runs."""

    model: str
    browser: str
    backend: str
    precision: str
    n: int
    n_took: int


@dataclass(frozen=True, slots=True)
class RoutingRow:
    """A row of the routing table that was published last."""

    model: str
    family: str
    browser: str
    backend: str
    precision: str
    score: float | None
    share: float | None
    reason: str
    at_s: float


@dataclass(frozen=True, slots=True)
class ReasonRow:
    """Requests of a model that went to a browser for one reason."""

    model: str
    browser: str
    reason: str
    n: int


@dataclass(frozen=True, slots=True)
class Impact:
    """A flag on against off: the ratio of compute times, with its 95 % confidence interval."""

    flag: str
    model: str
    browser: str
    backend: str
    precision: str
    batch_size: int
    fingerprint: str
    n_on: int
    n_off: int
    ratio: float
    """Below 1: quicker with the flag."""
    low: float | None
    high: float | None
    """None: too few samples to say."""
    n_samples: int
    """Hours of sessions that were compared."""
    is_paired: bool
    verdict: str


@dataclass(frozen=True, slots=True)
class ScalingRow:
    """A decision to grow or to shrink."""

    at_s: float
    scope: str
    name: str
    action: str
    n_from: int
    n_to: int
    reason: str
    dry_run: bool


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An alert that opened or closed."""

    at_s: float
    key: str
    severity: str
    title: str
    text: str
    state: str


@dataclass(frozen=True, slots=True)
class Report:
    """All facts of a report."""

    made_at_s: float
    since_s: float
    until_s: float
    model: str | None
    bucket_s: int
    totals: Totals
    recommendations: Sequence[Recommendation]
    """The model with the most runs first."""
    trends: Sequence[Trend]
    n_trends: int
    """Trends there are; the busiest of them are shown."""
    changes: Sequence[ReportedChange]
    browsers: Sequence[BrowserRow]
    matrix: Matrix
    capability_changes: Sequence[CapabilityChange]
    connections: Sequence[ConnectionRow]
    sharing: Sequence[SharingRow]
    recalls: Sequence[RecallRow]
    health: Course
    open_breakers: Course
    shares: Course
    routing: Sequence[RoutingRow]
    reasons: Sequence[ReasonRow]
    impact: Sequence[Impact]
    scaling: Sequence[ScalingRow]
    alerts: Sequence[AlertRow]
    experiments: Sequence[Experiment]
    cut: Sequence[str]
    """Sections that show only the first rows of more."""
