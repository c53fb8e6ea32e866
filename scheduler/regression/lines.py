"""Lines: samples in time order, of one kind of request in one environment."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scheduler.regression.energy import Floats

SERIES = ("model", "browser", "backend", "precision", "batch_size", "os", "adapter", "flags")
"""The columns that identify a series; lines of one series may follow each other."""
ENVIRONMENT = ("browser_build", "driver", "webinfer_version", "revision")
"""The columns that may change within a series, and are then the cause."""


@dataclass(frozen=True)
class Series:
    """One series in one environment; only its own samples are a baseline for it."""

    series: str
    """JSON of SERIES, as the history keeps it."""
    environment: tuple[str, ...]
    """In the order of ENVIRONMENT."""
    values: Mapping[str, tuple[Floats, Floats]]
    """By metric: the start of each sample, seconds since 1970, and its value, always positive."""

    def before(self, metric: str, end_s: float) -> Floats:
        """Its values before `end_s`."""
        times_s, values = self.values[metric]
        return values[times_s < end_s]


def read_lines(rows: Iterable[Mapping[str, Any]], metrics: Iterable[str]) -> list[Series]:
    """One line per row of the query regression_samples."""
    names = list(metrics)
    return [
        Series(
            json.dumps({name: row[name] for name in SERIES}),
            tuple(row[name] or "" for name in ENVIRONMENT),
            {name: _usable(row["at_s"], row[name]) for name in names},
        )
        for row in rows
    ]


def _usable(at_s: list[float], values: list[float | None]) -> tuple[Floats, Floats]:
    """The samples above zero; only those have ratios."""
    times, found = np.array(at_s, float), np.array(values, float)
    good = np.isfinite(found) & (found > 0)
    return times[good], found[good]


def predecessor(line: Series, lines: Iterable[Series], metric: str, least: int) -> Series | None:
    """The last active line of the series before `line` began, with at least `least` samples by then."""
    times_s, _ = line.values[metric]
    if not len(times_s):
        return None
    older = [
        (float(other.values[metric][0][n - 1]), other)
        for other in lines
        if other is not line
        and other.series == line.series
        and (n := int((other.values[metric][0] < times_s[0]).sum())) >= least
    ]
    return max(older, key=lambda found: found[0])[1] if older else None


def name_cause(before: Series, after: Series) -> str:
    """The differences between two environments: `browser_build 156.0 -> 157.0; revision a1 -> b2`."""
    pairs = zip(ENVIRONMENT, before.environment, after.environment, strict=True)
    return "; ".join(f"{name} {old or '?'} -> {new or '?'}" for name, old, new in pairs if old != new)
