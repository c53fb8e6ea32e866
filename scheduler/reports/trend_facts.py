"""The facts of a report over time: measurements by bucket, and the changes among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scheduler.naming import name_series

Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class ReportedChange:
    """A series that became better or worse at one moment."""

    series: Mapping[str, str | float | None]
    metric: str
    changed_at_s: float
    before: float
    after: float
    effect: float
    p_value: float | None
    severity: str
    direction: str
    smallest_visible: float | None
    cause: str = ""
    """The change of the environment at the same time."""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """After over before; None where there was nothing before."""
        return self.after / self.before if self.before else None

    @property
    def place(self) -> str:
        """The series in one line."""
        return name_series(self.series)


@dataclass(frozen=True, slots=True)
class TrendLine:
    """One browser's measurements of a chart; `None` where a bucket has none."""

    browser: str
    p50_ms: Values
    p95_ms: Values
    memory_mb: Values
    items_per_s: Values
    n: Sequence[int]
    n_failed: Sequence[int]


@dataclass(frozen=True, slots=True)
class Trend:
    """A model on one backend in one precision: a line a browser over common times."""

    model: str
    backend: str
    precision: str
    n_runs: int
    at_s: Sequence[int]
    lines: Sequence[TrendLine]
    changes: Sequence[ReportedChange]


@dataclass(frozen=True, slots=True)
class Course:
    """Named series over shared timestamps."""

    at_s: Sequence[int]
    lines: dict[str, Values]
