"""A test of whether two groups of samples differ, and the smallest difference that it would find.

Student's t-test as in Fleming et al., "Hunter: Using Change Point Detection to Hunt for Performance
Regressions" (2023), https://arxiv.org/abs/2301.03034, with two corrections: correlated neighbours count
as fewer samples, and outliers are pulled in. Values are logarithms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from scheduler.regression.energy import Floats

# The standard deviation of a normal distribution over its median absolute deviation.
MAD_TO_SD = 1.4826
# Beyond this lies one sample in 16,000 of a normal distribution.
FAR_SD = 4.0
# Share of the samples after a split: with one spike in twenty, 6 of 8 are spikes in 4 of 10 million tests.
MOST = 0.75
# Beyond this the samples are a random walk, not a level with noise.
MAX_CORRELATION = 0.95
# Prevents division by zero in series without noise: a billionth of the value.
LEAST_SD = 1e-9
DETECTED_BY = 20
"""The number of samples within which a change should be found."""
POWER = 0.95
"""The share of changes that should be found."""


@dataclass(frozen=True, slots=True)
class SampleComparison:
    """The comparison of two groups; `difference` is of the logarithms, right minus left."""

    difference: float
    error: float
    """The standard error of `difference`."""
    freedom: float
    p: float


def compare(left: Floats, right: Floats) -> SampleComparison:
    """The t-test of two groups of at least two samples each, in time order."""
    n, m = len(left), len(right)
    residuals = np.concatenate([left - left.mean(), right - right.mean()])
    share = independent_share(residuals)
    error = spread(residuals, 2) * math.sqrt((1 / n + 1 / m) / share)
    freedom = max((n + m) * share - 2, 1.0)
    difference = float(right.mean() - left.mean())
    return SampleComparison(difference, error, freedom, float(2 * stdtr(freedom, -abs(difference) / error)))


def spread(residuals: Floats, n_means: int) -> float:
    """The standard deviation of residuals about `n_means` means; never zero."""
    freedom = max(len(residuals) - n_means, 1)
    return math.sqrt(float((residuals**2).sum()) / freedom + LEAST_SD**2)


def independent_share(residuals: Floats) -> float:
    """The number of independent samples that one sample is worth, 0 to 1: (1 - r) / (1 + r).

    r is the correlation of neighbours, corrected for bias in small samples, plus one standard error: too low
    an r would cause false alarms, too high an r delays findings by a few samples.
    """
    n, squares = len(residuals), float((residuals**2).sum())
    if squares <= n * LEAST_SD**2:
        return 1.0
    r = float((residuals[1:] * residuals[:-1]).sum()) / squares
    r = min(max(r + (1 + 4 * r) / n + 1 / math.sqrt(n), 0.0), MAX_CORRELATION)
    return (1 - r) / (1 + r)


def bounds(values: Floats, least_sd: float) -> tuple[float, float]:
    """The bounds of outliers: four robust standard deviations (at least `least_sd`) from the median.

    The minimum keeps a step visible in a series whose samples are nearly all equal.
    """
    median = float(np.median(values))
    sd = max(MAD_TO_SD * float(np.median(np.abs(values - median))), least_sd)
    return median - FAR_SD * sd, median + FAR_SD * sd


def pull_in(left: Floats, right: Floats, least_sd: float, min_after: int) -> tuple[Floats, Floats]:
    """Both sides with outliers of the old level pulled in, so that a few outliers make no new level.

    If most samples of the right side are outliers, and as many as a change needs, they are a new level with
    bounds of their own. Bounds of the whole window would widen as the new level arrives, and turn a step into
    a slope.
    """
    low, high = bounds(left, least_sd)
    n_far = max(int((right < low).sum()), int((right > high).sum()))
    is_level = n_far >= max(min_after, MOST * len(right))
    return np.clip(left, low, high), np.clip(right, *(bounds(right, least_sd) if is_level else (low, high)))


def smallest_visible(values: Floats, max_p: float) -> float:
    """The smallest lasting change, as a ratio minus 1, that is found within 20 samples in 95 % of cases.

    `values` are the level's samples so far, at least two; infinite if they are too few or too noisy.
    """
    n, residuals = len(values), values - values.mean()
    share = independent_share(residuals)
    freedom = max((n + DETECTED_BY) * share - 2, 1.0)
    wanted = -float(stdtrit(freedom, max_p / 2)) + float(stdtrit(freedom, POWER))
    step = wanted * spread(residuals, 1) * math.sqrt((1 / n + 1 / DETECTED_BY) / share)
    return math.expm1(step) if step < 1 else math.inf
