"""The effect of a flag, from means of samples, with its confidence interval. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from scipy.special import stdtrit

from scheduler.reports.facts import Impact

CONFIDENCE = 0.95
# Of each kind; the variance of two samples says next to nothing.
MIN_SAMPLES = 3


def judge_impact(row: Mapping[str, Any]) -> Impact:
    """The impact from a row of queries/report_impact.sql.

    Hours in which a session ran both are compared pair by pair, which takes a machine's drift out; without
    enough of them the two groups are compared (Welch). The interval is of the ratio of geometric means.
    """
    is_paired = row["pairs"] >= MIN_SAMPLES
    difference, half = _paired(row) if is_paired else _welch(row)
    low = None if half is None else math.exp(difference - half)
    high = None if half is None else math.exp(difference + half)
    place = {
        name: row[name] or "" for name in ("flag", "model", "browser", "backend", "precision", "fingerprint")
    }
    return Impact(
        **place,
        batch_size=row["batch_size"] or 0,
        n_on=row["n_on"],
        n_off=row["n_off"],
        ratio=math.exp(difference),
        low=low,
        high=high,
        n_samples=row["pairs"] if is_paired else row["blocks_on"] + row["blocks_off"],
        is_paired=is_paired,
        verdict=_verdict(low, high),
    )


def _verdict(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "too few samples"
    if high < 1:
        return "quicker"
    return "slower" if low > 1 else "no difference seen"


def _paired(row: Mapping[str, Any]) -> tuple[float, float | None]:
    """Mean difference of logarithms and half its interval."""
    n = row["pairs"]
    half = _t(n - 1) * math.sqrt(row["var_pair"] / n)
    return row["mean_pair"], half


def _welch(row: Mapping[str, Any]) -> tuple[float, float | None]:
    """The same of two groups of unequal variance (Welch 1947)."""
    difference = row["mean_on"] - row["mean_off"]
    n_on, n_off = row["blocks_on"], row["blocks_off"]
    if min(n_on, n_off) < MIN_SAMPLES:
        return difference, None
    on, off = row["var_on"] / n_on, row["var_off"] / n_off
    if on + off == 0:
        return difference, 0.0
    freedom = (on + off) ** 2 / (on**2 / (n_on - 1) + off**2 / (n_off - 1))
    return difference, _t(freedom) * math.sqrt(on + off)


def _t(freedom: float) -> float:
    """Student's t of a two-sided interval."""
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
