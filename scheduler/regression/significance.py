"""Whether two stretches of samples differ by more than their noise, and how small a difference would show.

Student's t-test as in Fleming et al., "Hunter: Using Change Point Detection to Hunt for Performance
Regressions" (2023), https://arxiv.org/abs/2301.03034, with two corrections: neighbours that resemble each
other count as fewer samples, and single samples far off are pulled in. Values are logarithms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from scheduler.regression.energy import Floats

# What a normal distribution's median absolute deviation must be multiplied with to be its standard deviation.
MAD_TO_SD = 1.4826
# So far off lies one sample of 16,000 of a normal distribution.
FAR_SD = 4.0
# Of the samples after a split: were every twentieth a spike, 6 of 8 would be in 4 of 10 million looks.
MOST = 0.75
# Beyond that the samples are a walk, not a level with noise.
MAX_CORRELATION = 0.95
# Against a division by nothing, in series without any noise: a billionth of the value.
LEAST_SD = 1e-9
DETECTED_BY = 20
"""Samples within which a change shall be found."""
POWER = 0.95
"""Share of the changes that shall be found."""


@dataclass(frozen=True, slots=True)
class SampleComparison:
    """Of two stretches; `difference` is of the logarithms, right less left."""

    difference: float
    error: float
    """The standard error of `difference`."""
    freedom: float
    p: float


def compare(left: Floats, right: Floats) -> SampleComparison:
    """The t-test of two stretches of at least two samples each, in the order they came."""
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
    """How many independent samples one sample is worth, 0 to 1: (1 - r) / (1 + r) for a correlation of r.

    r is the correlation of neighbours, its small-sample bias undone, and one standard error more: too low an
    r would mean false alarms, too high a one costs a few samples' patience.
    """
    n, squares = len(residuals), float((residuals**2).sum())
    if squares <= n * LEAST_SD**2:
        return 1.0
    r = float((residuals[1:] * residuals[:-1]).sum()) / squares
    r = min(max(r + (1 + 4 * r) / n + 1 / math.sqrt(n), 0.0), MAX_CORRELATION)
    return (1 - r) / (1 + r)


def bounds(values: Floats, least_sd: float) -> tuple[float, float]:
    """What lies outside is far off: four robust standard deviations, of `least_sd` or more, from the median.

    The least keeps a step visible in a series whose samples are nearly all the same.
    """
    median = float(np.median(values))
    sd = max(MAD_TO_SD * float(np.median(np.abs(values - median))), least_sd)
    return median - FAR_SD * sd, median + FAR_SD * sd


def pull_in(left: Floats, right: Floats, least_sd: float, min_after: int) -> tuple[Floats, Floats]:
    """Both sides with what is far off the old level pulled in: a few far samples make no new level.

    Where most are far off, and as many as a change takes, they are a level and have bounds of their own. The
    bounds of the whole window would not do: they widen while a new level comes in, and make a step a slope.
    """
    low, high = bounds(left, least_sd)
    n_far = max(int((right < low).sum()), int((right > high).sum()))
    is_level = n_far >= max(min_after, MOST * len(right))
    return np.clip(left, low, high), np.clip(right, *(bounds(right, least_sd) if is_level else (low, high)))


def smallest_visible(values: Floats, max_p: float) -> float:
    """The least lasting change, as a ratio less 1, that is found in 95 % of the cases within 20 samples.

    `values` are the level's samples so far, at least two; infinite where they say too little.
    """
    n, residuals = len(values), values - values.mean()
    share = independent_share(residuals)
    freedom = max((n + DETECTED_BY) * share - 2, 1.0)
    wanted = -float(stdtrit(freedom, max_p / 2)) + float(stdtrit(freedom, POWER))
    step = wanted * spread(residuals, 1) * math.sqrt((1 / n + 1 / DETECTED_BY) / share)
    return math.expm1(step) if step < 1 else math.inf
