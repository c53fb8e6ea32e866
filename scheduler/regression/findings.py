"""Results of the analysis of a series: its changes, and its present state."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from scheduler.regression.metrics import Direction, Severity
from tasks.telemetry import Row

# As many samples as a change needs to be found: two findings nearer to each other are one.
SAME_WITHIN_SAMPLES = 5


@dataclass(frozen=True, slots=True)
class DetectedChange:
    """A row of the history's table `changes`."""

    series: str
    metric: str
    changed_at: float
    """The start of the first sample of the new level, seconds since 1970."""
    before: float
    after: float
    """Medians of the samples before and after, in the metric's unit."""
    effect: float
    """after / before - 1."""
    p_value: float
    severity: Severity
    direction: Direction
    smallest_visible: float | None
    """The smallest relative change that would have been found within 20 samples."""
    cause: str
    """The change of the environment at the same time; if empty, look at the machine and its other load."""
    note: str
    sample_s: float
    n_before: int
    n_after: int


@dataclass(frozen=True, slots=True)
class FindingState:
    """The present state of a series."""

    series: str
    metric: str
    shape: str
    """steady, bimodal, unstable (a medium change would not be seen) or short (too few samples yet)."""
    n_samples: int
    level: float | None
    """The median of the present level, in the metric's unit."""
    smallest_visible: float | None
    sample_s: float


@dataclass(frozen=True, slots=True)
class Analysis:
    """The results of many lines at one spacing of samples."""

    changes: list[DetectedChange]
    states: list[FindingState]


def rows(changes: Iterable[DetectedChange]) -> list[Row]:
    """The changes as rows of the history."""
    return [("changes", asdict(change)) for change in changes]


def unreported(changes: Iterable[DetectedChange], known: Iterable[Mapping[str, Any]]) -> list[DetectedChange]:
    """The changes that are not in `known` (rows of the table), each once.

    Every later analysis finds the same change again, and so does the one at a coarser spacing: the same
    series, metric and direction, at a time that differs by no more than five samples of the coarser one.
    """
    seen = [(_key(row), _seconds(row["changed_at"]), float(row["sample_s"] or 0)) for row in known]
    fresh = []
    for change in sorted(changes, key=lambda change: change.sample_s):
        key, at_s = _key(asdict(change)), change.changed_at
        if any(
            key == other and abs(at_s - when_s) <= SAME_WITHIN_SAMPLES * max(change.sample_s, sample_s)
            for other, when_s, sample_s in seen
        ):
            continue
        seen.append((key, at_s, change.sample_s))
        fresh.append(change)
    return fresh


def _key(row: Mapping[str, Any]) -> tuple[str, str, str]:
    series = json.dumps(json.loads(row["series"]), sort_keys=True)
    return series, str(row["metric"]), str(row["direction"])


def _seconds(at: float | datetime) -> float:
    return at.timestamp() if isinstance(at, datetime) else float(at)
