"""A test of whether two groups of samples differ, and the smallest difference that it would find.

Student's t-test as in Fleming et al., "Hunter: Using Change Point Detection to Hunt for Performance
Regressions" (2023), https://arxiv.org/abs/2301.03034, with two corrections: neighbours that resemble each
other (correlation.py), and outliers, which are pulled in. Values are logarithms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from scipy.special import stdtr, stdtrit

from scheduler.regression.correlation import (
    LEAST_SD,
    NODES,
    WEIGHTS,
    Resemblance,
    TwoGroups,
    burst_samples,
    design,
    likely_correlations,
    resemblance_about,
    two_groups,
)
from scheduler.regression.energy import Floats

# The standard deviation of a normal distribution over its median absolute deviation.
MAD_TO_SD = 1.4826
# Beyond this lies one sample in 16,000 of a normal distribution.
FAR_SD = 4.0
# Share of the samples after a split: with one spike in twenty, 6 of 8 are spikes in 4 of 10 million tests.
MOST = 0.75
DETECTED_BY = 20
"""The number of samples within which a change should be found."""
# A ten-millionth of the range.
BISECTIONS = 24
# A series that wanders so much has no level that more samples would show.
LEAST_SHARE = 0.5
# The node of the estimate itself.
ESTIMATE = int(np.argmin(np.abs(NODES)))
# Where samples resemble each other, a step's information lies in its jump, which a split may miss.
# From simulations: with it what is told is what is found, within a fifth, at any correlation up to 0.8.
SPLIT_COST = 0.5
# A third more, as a logarithm: told at once, since to wait costs more than to be wrong now and then.
LARGE_STEP = 0.3
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
    fading: float
    """The samples in which a burst fades, which the right group needs besides; 0 where none is waited for."""


NOTHING_KNOWN: Resemblance[float] = Resemblance(0.0, 0.0, 0.0, 0.0)


def compare(left: Floats, right: Floats, older: Resemblance[float] = NOTHING_KNOWN) -> SampleComparison:
    """The t-test of two groups of at least two samples each, in time order.

    `older`: of the noise before them. p is the mean over all that the correlation may be: where it is hardly
    known, a step must be the clearer.
    """
    groups = two_groups(left, right)
    known = groups.resemblance + older
    freedom = max(groups.n + groups.m - 3, 1.0)
    near = float(known.near)
    r = near if abs(groups.step(near)[0]) >= LARGE_STEP else float(known.r)
    # Where it may last, a step must be one either way: an r that is too large makes much of a single jump.
    p = max(_mean_p(groups, each, known.n, freedom) for each in {near, r})
    difference, error = groups.step(r)
    fading = 0.0 if abs(difference) >= LARGE_STEP else float(burst_samples(r))
    return SampleComparison(float(difference), float(error), freedom, p, fading)


def _mean_p(groups: TwoGroups[float], r: float, n: float, freedom: float) -> float:
    differences, errors = _steps(groups, likely_correlations(r, n))
    return float(WEIGHTS @ (2 * stdtr(freedom, -np.abs(differences) / errors)))


def _steps(groups: TwoGroups[float], correlations: Floats) -> tuple[Floats, Floats]:
    spread = TwoGroups(*(np.full_like(correlations, getattr(groups, each.name)) for each in fields(groups)))
    return spread.step(correlations)


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
    n = float(len(values))
    known = resemblance_about(values - values.mean())
    freedom = max(n + DETECTED_BY - 3, 1.0)
    r, near = float(known.r), float(known.near)
    # The mean of samples that resemble each other follows them: about it they spread less than they do.
    share = max(1 - (1 + r) / ((1 - r) * n), LEAST_SHARE)
    sd = math.sqrt(known.squares / (n * share) + LEAST_SD**2)
    # What whitening by a larger correlation than that of neighbours leaves.
    sd *= math.sqrt((1 + r * r - 2 * r * near) / (1 - r * r))
    errors = sd * _unit_errors(n, likely_correlations(r, n))
    step = _needed(errors, freedom, max_p) + float(stdtrit(freedom, POWER)) * float(errors[ESTIMATE])
    step *= 1 + SPLIT_COST * r * r
    return math.expm1(step) if step < 1 else math.inf


def _unit_errors(n: float, correlations: Floats) -> Floats:
    """Standard errors of a step, `DETECTED_BY` samples after `n`, of noise with a standard deviation of 1."""
    level, both, change = design(
        np.full_like(correlations, n), np.full_like(correlations, DETECTED_BY), correlations
    )
    errors: Floats = np.sqrt((1 - correlations**2) * level / (level * change - both * both))
    return errors


def _needed(errors: Floats, freedom: float, max_p: float) -> float:
    """The step whose p, averaged over what the correlation may be, is `max_p`; by bisection."""
    low, high = 0.0, -float(stdtrit(freedom, max_p / 2)) * float(errors.max())
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        p = float(WEIGHTS @ (2 * stdtr(freedom, -middle / errors)))
        low, high = (middle, high) if p > max_p else (low, middle)
    return high
