"""Sums over runs, and what they say: how long a run takes on a browser, and how sure that is. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from browser_runtime.contract.vocabulary import Browser, Family

# Runs of the last days count at most as much as so many fresh ones: a change shows within as many runs.
MOST_OLD_RUNS = 5.0
# How much the times of one model vary on an idle machine is measured; below this nobody is sure of it.
LEAST_SPREAD = 0.15


@dataclass(frozen=True, slots=True)
class Sums:
    """Weighed sums over runs: x is ln(batch size), y is ln(milliseconds)."""

    w: float = 0.0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0
    yy: float = 0.0

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.w + other.w,
            self.x + other.x,
            self.y + other.y,
            self.xx + other.xx,
            self.xy + other.xy,
            self.yy + other.yy,
        )

    def scaled(self, by: float) -> Sums:
        """The sums of the same runs, each counting `by` times as much."""
        return Sums(self.w * by, self.x * by, self.y * by, self.xx * by, self.xy * by, self.yy * by)

    @property
    def cross(self) -> float:
        """Sum of (x - mean x)(y - mean y)."""
        return self.xy - self.x * self.y / self.w if self.w else 0.0

    @property
    def spread_x(self) -> float:
        """Sum of (x - mean x) squared."""
        return max(self.xx - self.x * self.x / self.w, 0.0) if self.w else 0.0

    @property
    def spread_y(self) -> float:
        """Sum of (y - mean y) squared."""
        return max(self.yy - self.y * self.y / self.w, 0.0) if self.w else 0.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """The runs of one model with one precision on one backend of one browser."""

    family: Family
    model: str
    precision: str
    browser: Browser
    backend: str
    sums: Sums
    n_runs: int = 0
    """All of them, whatever their age."""
    fresh: float = 0.0
    """Runs of the last minutes."""
    failed: float = 0.0
    """Failures of the last minutes that speak against the browser."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the runs on one browser say, at the model's usual batch size."""

    browser: Browser
    backend: str
    mean_ln_ms: float
    n: float
    """How many fresh runs that is worth."""
    n_runs: int
    failed: float
    spread: float
    """Standard deviation of ln(ms)."""


def read_evidence(rows: Iterable[Mapping[str, Any]]) -> list[Evidence]:
    """The rows of queries/routing_evidence.sql; families and browsers that are not known are passed over."""
    families, browsers = list(Family), list(Browser)
    return [_evidence(row) for row in rows if row["family"] in families and row["browser"] in browsers]


def _evidence(row: Mapping[str, Any]) -> Evidence:
    names = ("w", "x", "y", "xx", "xy", "yy")
    fresh = Sums(*(float(row[f"fresh_{name}"]) for name in names))
    old = Sums(*(float(row[f"old_{name}"]) for name in names))
    share = min(1.0, MOST_OLD_RUNS / old.w) if old.w else 0.0
    return Evidence(
        Family(row["family"]),
        str(row["model"]),
        str(row["precision"]),
        Browser(row["browser"]),
        str(row["backend"] or ""),
        fresh + old.scaled(share),
        int(row["n_runs"]),
        fresh.w,
        float(row["failed_weight"]),
    )


def measure(evidence: list[Evidence]) -> list[Measured]:
    """What each browser takes for a model, all at the same batch size; browsers without runs are left out.

    The line's slope over batch sizes is common to all (analysis of covariance), so a browser that happened to
    get the larger batches is not taken for the slower one. A browser counts by the backend it used last.
    """
    chosen = [usual for usual in map(_usual, _by_browser(evidence).values()) if usual.sums.w > 0]
    total = sum((each.sums for each in chosen), Sums())
    if not total.w:
        return []
    spread_x = sum(each.sums.spread_x for each in chosen)
    slope = sum(each.sums.cross for each in chosen) / spread_x if spread_x > 1e-6 else 0.0
    middle = total.x / total.w
    return [_measured(each, slope, middle) for each in chosen]


def _by_browser(evidence: list[Evidence]) -> dict[Browser, list[Evidence]]:
    found: dict[Browser, list[Evidence]] = {}
    for each in evidence:
        found.setdefault(each.browser, []).append(each)
    return found


def _usual(evidence: list[Evidence]) -> Evidence:
    """The backend that was used most, lately; with it all that failed on that browser."""
    failed = sum(each.failed for each in evidence)
    return replace(max(evidence, key=lambda each: (each.fresh, each.sums.w)), failed=failed)


def _measured(each: Evidence, slope: float, middle: float) -> Measured:
    sums = each.sums
    mean = sums.y / sums.w - slope * (sums.x / sums.w - middle)
    left = max(sums.spread_y - slope * sums.cross, 0.0)
    spread = max(math.sqrt(left / sums.w), LEAST_SPREAD)
    return Measured(each.browser, each.backend, mean, sums.w, each.n_runs, each.failed, spread)


def failures(evidence: list[Evidence]) -> dict[Browser, float]:
    """Failures lately that speak against each browser."""
    return {browser: sum(each.failed for each in rows) for browser, rows in _by_browser(evidence).items()}
