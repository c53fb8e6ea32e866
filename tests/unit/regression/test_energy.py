"""The sums that are kept up to date against the formula of the paper, written out."""

from __future__ import annotations

import numpy as np

from scheduler.regression.energy import Floats, Splits


def divergence(left: Floats, right: Floats) -> float:
    """Matteson & James (2014), equations 5 and 6 with alpha = 1."""
    n, m = len(left), len(right)
    across = 2 / (n * m) * np.abs(left[:, None] - right).sum()
    within = [np.abs(side[:, None] - side).sum() / (len(side) * (len(side) - 1)) for side in (left, right)]
    return float(n * m / (n + m) * (across - sum(within)))


def best_split(values: Floats) -> int:
    found = {k: divergence(values[:k], values[k:]) for k in range(2, len(values) - 1)}
    return max(found, key=lambda k: found[k])


def test_every_split_is_that_of_the_formula_while_windows_slide_and_rows_begin_anew() -> None:
    window, n = 20, 70
    series = np.random.default_rng(1).standard_normal((3, n)).cumsum(axis=1)
    splits, begins = Splits(3, n), [0, 3, 0]
    checked = 0
    for t in range(n):
        low = max(0, t + 1 - window)
        if t + 1 > window:
            splits.drop(series[:, low - 1 : t], low - 1)
        if t > low:
            splits.push(t, series[:, low : t + 1])
        for row, begin in enumerate(begins):
            if t == begin + 5:
                splits.open(row, begin, series[row, begin : t + 1])
        if t == 45:
            begins[2] = 38
            splits.open(2, 38, series[2, 38 : t + 1])
        begins = [max(begin, low) for begin in begins]
        if t > 10:
            found = splits.best(low, t)
            for row, begin in enumerate(begins):
                assert found[row] == begin + best_split(series[row, begin : t + 1]), (t, row)
                checked += 1
    assert list(splits.begin) == begins == [50, 50, 50]
    assert checked == 3 * 59
