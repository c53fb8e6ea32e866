"""The divergence between the two sides of every split, updated with each new sample.

Source: Matteson & James, "A Nonparametric Approach for Multiple Change Point Analysis of Multivariate Data"
(2014), https://arxiv.org/abs/1306.4933, equations 5 and 6 with alpha = 1. There the whole series is split
again and again; here each new sample updates the sums of pairwise distances in O(window), for many series at
once, so that every sample can be looked at as it comes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]

# U-statistics of a side need two samples.
MIN_SIDE = 2


class Splits:
    """For each split, the sums of distances within its left side, across it and within its right side.

    A split at `k` puts the samples before `k` on the left. A row takes part once it has been opened.
    """

    def __init__(self, n_rows: int, n_samples: int) -> None:
        self.begin: Integers = np.full(n_rows, n_samples, np.int64)
        """The first sample of each row's window; `n_samples` for rows that are not open."""
        self._left, self._across, self._right = (np.zeros((n_rows, n_samples + 1)) for _ in range(3))
        self._total = np.zeros(n_rows)

    def open(self, row: int, begin: int, values: Floats) -> None:
        """Start `row` with `values`, the first of which is sample `begin`."""
        distances = np.abs(values[:, None] - values)
        at = begin + np.arange(1, len(values))
        below = np.tril(distances, -1)
        total = below.sum()
        within_left = below.sum(axis=1).cumsum()[:-1]
        within_right = below.sum(axis=0)[::-1].cumsum()[-2::-1]
        self._left[row, at], self._right[row, at] = within_left, within_right
        self._across[row, at] = total - within_left - within_right
        self._total[row], self.begin[row] = total, begin

    def close(self, row: int) -> None:
        """Exclude `row` until it is opened again."""
        self.begin[row] = self._left.shape[1] - 1

    def push(self, t: int, window: Floats) -> None:
        """Add sample `t`, the last column of `window`, to the open rows."""
        low = t + 1 - window.shape[1]
        distances = np.abs(window[:, :-1] - window[:, -1:])
        distances *= np.arange(low, t) >= self.begin[:, None]
        sums = distances.cumsum(axis=1)
        all_, upto = sums[:, -1], sums[:, :-1]
        self._across[:, low + 1 : t] += upto
        self._right[:, low + 1 : t] += all_[:, None] - upto
        self._left[:, t], self._across[:, t], self._right[:, t] = self._total, all_, 0
        self._total += all_

    def drop(self, window: Floats, first: int) -> None:
        """Remove sample `first`, the first column of `window`, from the rows that begin with it."""
        leaving = self.begin == first
        distances = np.abs(window[:, 1:] - window[:, :1]) * leaving[:, None]
        sums = distances.cumsum(axis=1)
        all_, upto = sums[:, -1], sums[:, :-1]
        splits = slice(first + 2, first + window.shape[1])
        self._left[:, splits] -= upto
        self._across[:, splits] -= all_[:, None] - upto
        self._total -= all_
        self.begin[leaving] = first + 1

    def best(self, low: int, t: int) -> Integers:
        """Each row's split of [low, t] with the largest divergence; meaningless for closed rows."""
        at = np.arange(low + MIN_SIDE, t + 2 - MIN_SIDE)
        n = at - self.begin[:, None].astype(float)
        m = t + 1.0 - at
        fits = n >= MIN_SIDE
        n = np.where(fits, n, MIN_SIDE)
        here = slice(at[0], at[-1] + 1)
        divergence = 2 * self._across[:, here]
        divergence -= self._left[:, here] * (2 * m / (n - 1))
        divergence -= self._right[:, here] * (2 * n / (m - 1))
        divergence /= n + m
        divergence[~fits] = -np.inf
        best: Integers = at[divergence.argmax(axis=1)]
        return best
