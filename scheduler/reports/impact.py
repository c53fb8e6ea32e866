"""Pure: what a flag brings, from means of samples, with a confidence interval that tells how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

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
    half = t_quantile((1 + CONFIDENCE) / 2, n - 1) * math.sqrt(row["var_pair"] / n)
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
    return difference, t_quantile((1 + CONFIDENCE) / 2, freedom) * math.sqrt(on + off)


def t_quantile(p: float, freedom: float) -> float:
    """Student's t with `freedom` >= 2 degrees below which a share `p` > 0.5 lies; to 3 digits or more.

    G. W. Hill, Algorithm 396: Student's t-quantiles, Communications of the ACM 13 (1970), 619-620.
    """
    two_tailed = 2 * (1 - p)
    if freedom <= 2:
        return math.sqrt(2 / (two_tailed * (2 - two_tailed)) - 2)
    a = 1 / (freedom - 0.5)
    b = 48 / a**2
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * freedom
    y = (d * two_tailed) ** (2 / freedom)
    y = _near_normal(p, freedom, a, b, c, d) if y > 0.05 + a else _far_out(y, freedom, d)
    return math.sqrt(freedom * y)


def _far_out(y: float, freedom: float, d: float) -> float:
    """Hill's expansion for the tails of few degrees of freedom."""
    inner = 1 / (((freedom + 6) / (freedom * y) - 0.089 * d - 0.822) * (freedom + 2) * 3)
    return ((inner + 0.5 / (freedom + 4)) * y - 1) * (freedom + 1) / (freedom + 2) + 1 / y


def _near_normal(p: float, freedom: float, a: float, b: float, c: float, d: float) -> float:
    """Hill's asymptotic inverse expansion about the normal distribution."""
    x = -NormalDist().inv_cdf(p)
    y = x * x
    if freedom < 5:
        c += 0.3 * (freedom - 4.5) * (x + 0.6)
    c = (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b + c
    y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
    return math.expm1(a * y * y)
