"""Weighted sums over runs, and estimates from them: the time of a run in a browser, with its error. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from browser_runtime.contract.vocabulary import Browser, Family

# The weight of all runs of the last days, in fresh runs: a change shows within as many runs.
MOST_OLD_RUNS = 5.0
# Measured spread of a model's times on an idle machine; smaller ones are accidental.
LEAST_SPREAD = 0.15


@dataclass(frozen=True, slots=True)
class Sums:
    """Weighted sums over runs: x is ln(batch size), y is ln(milliseconds)."""

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
        """The sums of the same runs with their weights multiplied by `by`."""
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
    """All runs, of any age."""
    fresh: float = 0.0
    """The weight of recent runs."""
    failed: float = 0.0
    """The weight of recent failures caused by the browser."""
    flags: str = ""
    """Flags of its runs as JSON; empty where runs with any are taken together."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The runs in one browser, at the model's usual batch size."""

    browser: Browser
    backend: str
    mean_ln_ms: float
    n: float
    """The weight, in fresh runs."""
    n_runs: int
    failed: float
    spread: float
    """Standard deviation of ln(ms)."""


def read_evidence(rows: Iterable[Mapping[str, Any]]) -> list[Evidence]:
    """The rows of queries/routing_evidence.sql, without unknown families and browsers."""
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
        str(row["flags"] or ""),
    )


def measure(evidence: list[Evidence]) -> list[Measured]:
    """The time of a model in each browser that ran it, all at the same batch size.

    All browsers share one slope over batch sizes (analysis of covariance), so a browser that got larger
    batches does not look slower. A browser is represented by the backend it used most recently.
    """
    chosen = [usual for usual in map(_usual, _by_browser(evidence).values()) if usual.sums.w > 0]
    return [found for _, found in measure_all(chosen)]


def measure_all(evidence: list[Evidence]) -> list[tuple[Evidence, Measured]]:
    """The time of each, all at the same batch size and with one slope; each has runs."""
    total = sum((each.sums for each in evidence), Sums())
    if not total.w:
        return []
    spread_x = sum(each.sums.spread_x for each in evidence)
    slope = sum(each.sums.cross for each in evidence) / spread_x if spread_x > 1e-6 else 0.0
    middle = total.x / total.w
    return [(each, _measured(each, slope, middle)) for each in evidence]


def _by_browser(evidence: list[Evidence]) -> dict[Browser, list[Evidence]]:
    found: dict[Browser, list[Evidence]] = {}
    for each in evidence:
        found.setdefault(each.browser, []).append(each)
    return found


def _usual(evidence: list[Evidence]) -> Evidence:
    """The most used recent backend, the quickest of those used alike, with all failures in that browser."""
    failed = sum(each.failed for each in evidence)
    return replace(max(evidence, key=_use), failed=failed)


def _use(each: Evidence) -> tuple[float, float, float]:
    """How much it was used, and then how quick it was."""
    return (each.fresh, each.sums.w, -each.sums.y / each.sums.w if each.sums.w else 0.0)


def _measured(each: Evidence, slope: float, middle: float) -> Measured:
    sums = each.sums
    mean = sums.y / sums.w - slope * (sums.x / sums.w - middle)
    left = max(sums.spread_y - slope * sums.cross, 0.0)
    spread = max(math.sqrt(left / sums.w), LEAST_SPREAD)
    return Measured(each.browser, each.backend, mean, sums.w, each.n_runs, each.failed, spread)


def failures(evidence: list[Evidence]) -> dict[Browser, float]:
    """The weight of recent failures of each browser."""
    return {browser: sum(each.failed for each in rows) for browser, rows in _by_browser(evidence).items()}
