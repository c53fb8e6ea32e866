"""Samples in the order they came, of one kind of request in one environment."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scheduler.regression.energy import Floats

SERIES = ("model", "browser", "backend", "precision", "batch_size", "os", "adapter", "flags")
"""What a series is of; lines of one series may follow each other."""
ENVIRONMENT = ("browser_build", "driver", "webinfer_version", "revision")
"""What may change under a series and then is the cause: the other parts of a fingerprint."""


@dataclass(frozen=True)
class Series:
    """One series in one environment; only its own samples are a baseline for it."""

    series: str
    """JSON of SERIES, as the history keeps it."""
    environment: tuple[str, ...]
    """In the order of ENVIRONMENT."""
    values: Mapping[str, tuple[Floats, Floats]]
    """By metric: when each sample began, seconds since 1970, and its value; never zero or less."""

    def before(self, metric: str, end_s: float) -> Floats:
        """Its values before `end_s`."""
        times_s, values = self.values[metric]
        return values[times_s < end_s]


def read_lines(rows: Iterable[Mapping[str, Any]], metrics: Iterable[str]) -> list[Series]:
    """A line a row of the query regression_samples."""
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
    """Those that are numbers above zero: only such can change by a ratio."""
    times, found = np.array(at_s, float), np.array(values, float)
    good = np.isfinite(found) & (found > 0)
    return times[good], found[good]


def predecessor(line: Series, lines: Iterable[Series], metric: str, least: int) -> Series | None:
    """The line of the series that was the last active before `line` began; it has `least` samples by then."""
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
    """What differs between two environments: `browser_build 156.0 -> 157.0; revision a1 -> b2`."""
    pairs = zip(ENVIRONMENT, before.environment, after.environment, strict=True)
    return "; ".join(f"{name} {old or '?'} -> {new or '?'}" for name, old, new in pairs if old != new)
