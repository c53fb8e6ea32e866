"""Series that no single level describes: two modes in turn, or noise that hides what should be seen."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from scheduler.regression.energy import Floats
from scheduler.regression.scanning import ScanStep

# Of the variance, told by which of two groups a sample is in: 0.64 for a normal distribution (2 / pi), 0.75
# for an even one, 0.85 only where there is a gap between the groups.
TWO_MODES_SHARE = 0.85
LEAST_MODE_SHARE = 0.1
# The third jump between the same two levels: the second may still be a change that was put right.
N_SWITCHES = 3


def find_modes(values: Floats, least_gap: float) -> tuple[float, float] | None:
    """The means of two groups that samples fall into, `least_gap` apart; None where there is but one."""
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
    """For each step, how many steps up to it went to and fro between two levels; 1 where it stands alone."""
    counts: list[int] = []
    for k, step in enumerate(steps):
        back = k > 0 and _undoes(steps[k - 1].found.difference, step.found.difference)
        counts.append(counts[-1] + 1 if back else 1)
    return counts


def _undoes(first: float, second: float) -> bool:
    """Two steps in opposite directions, of nearly the same size: what remains is under a third of either."""
    return abs(first + second) < min(abs(first), abs(second)) / 3
