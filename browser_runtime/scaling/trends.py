"""Robust trends of short noisy series: a slope that outliers cannot bend, and how surely it rises."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import median


def theil_sen_slope(points: Sequence[tuple[float, float]]) -> float | None:
    """The median slope over all pairs of `(x, y)`; None where no two x differ.

    Up to 29 % of the points may be arbitrary. Source: Sen, "Estimates of the regression coefficient based on
    Kendall's tau", JASA 63 (1968). Takes n^2/2 divisions: meant for at most some hundred points.
    """
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x1 != x2]
    return median(slopes) if slopes else None


def mann_kendall_z(values: Sequence[float]) -> float:
    """Return the certainty of a rise, in standard deviations of a series without trend; negative: a fall.

    A series without trend gets above 2.33 one time in a hundred. Ties count as neither, which errs to the
    safe side. Source: Mann, "Nonparametric tests against trend", Econometrica 13 (1945).
    """
    n = len(values)
    if n < 3:
        return 0.0
    rises = sum((later > earlier) - (later < earlier) for earlier, later in combinations(values, 2))
    deviation = math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    return math.copysign(max(abs(rises) - 1, 0), rises) / deviation
