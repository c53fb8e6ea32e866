"""Series without a single level: two alternating modes, or noise that hides changes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from scheduler.regression.energy import Floats
from scheduler.regression.scanning import ScanStep

# Share of the variance explained by two groups: 0.64 for a normal distribution (2 / pi), 0.75
# for an even one, 0.85 only where there is a gap between the groups.
TWO_MODES_SHARE = 0.85
LEAST_MODE_SHARE = 0.1
# From the third jump between the same two levels on; the second may be a change that was reverted.
N_SWITCHES = 3


def find_modes(values: Floats, least_gap: float) -> tuple[float, float] | None:
    """The means of two groups of samples at least `least_gap` apart; None if there is one group."""
    ordered = np.sort(values)
    n, total = len(ordered), float(((ordered - ordered.mean()) ** 2).sum())
    least = max(2, math.ceil(n * LEAST_MODE_SHARE))
    if n < 2 * least or total == 0:
        return None
    at = np.arange(least, n - least + 1)
    sums = ordered.cumsum()
    low, high = sums[at - 1] / at, (sums[-1] - sums[at - 1]) / (n - at)
    between = at * (n - at) / n * (high - low) ** 2
    best = int(between.argmax())
    if between[best] < TWO_MODES_SHARE * total or high[best] - low[best] < least_gap:
        return None
    return float(low[best]), float(high[best])


def count_switches(steps: Sequence[ScanStep]) -> list[int]:
    """For each step, the number of steps up to it that alternate between two levels; 1 if it is single."""
    counts: list[int] = []
    for k, step in enumerate(steps):
        back = k > 0 and _undoes(steps[k - 1].found.difference, step.found.difference)
        counts.append(counts[-1] + 1 if back else 1)
    return counts


def _undoes(first: float, second: float) -> bool:
    """True for opposite steps of similar size: their sum is under a third of either."""
    return abs(first + second) < min(abs(first), abs(second)) / 3
