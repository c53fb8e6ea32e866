"""Finds changes in many series at once, testing at every sample as if it were the latest.

The split is E-divisive's (energy.py), its significance a t-test within a window as in Hunter
(significance.py). Unlike both, a series is never split as a whole, but starts again after each change. So a
month analysed at once gives the same changes as the same month analysed hour by hour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import stdtrit

from scheduler.regression.correlation import FAR, Resemblance, TwoGroups, burst_samples, resemblance_of
from scheduler.regression.energy import Floats, Integers, Splits
from scheduler.regression.rules import Rules
from scheduler.regression.significance import (
    FAR_SD,
    MAD_TO_SD,
    SampleComparison,
    bounds,
    compare,
    pull_in,
)

# Rows scanned together: their windows fit into a processor's cache.
CHUNK = 256
# The bounds of outliers change slowly; updating them every fourth time saves half of the scan.
BOUNDS_EVERY = 4
# How far from the split of the largest divergence a clearer one is looked for.
NEARBY = 3
# The quick test knows a step before outliers are pulled in: a little less may still be enough.
NEARLY = 0.9
# A level so far off lies outside the bounds of outliers, which the full test gives it anew.
CLEAR_SD = 3.0


@dataclass(frozen=True, slots=True)
class ScanStep:
    """A change; sample `at` is the first of the new level."""

    at: int
    seen_at: int
    """The sample at which it was found."""
    begin: int
    """The first sample of the previous level that was compared."""
    found: SampleComparison


@dataclass(slots=True)
class Scan:
    """The scan of one series."""

    steps: list[ScanStep] = field(default_factory=list)
    since: int = 0
    """The first sample of the present level's window."""


def scan(series: Sequence[Floats], rules: Rules) -> list[Scan]:
    """The changes of each series of logarithms; takes about 5 ms per series of 720 samples."""
    scans = [Scan() for _ in series]
    order = sorted(range(len(series)), key=lambda row: len(series[row]))
    for start in range(0, len(order), CHUNK):
        rows = order[start : start + CHUNK]
        Chunk([series[row] for row in rows], rules, [scans[row] for row in rows]).run()
    return scans


class Chunk:
    """Series of similar length, scanned in step."""

    def __init__(self, series: Sequence[Floats], rules: Rules, scans: list[Scan]) -> None:
        self._rules, self._scans = rules, scans
        self._least = math.log1p(rules.min_effect)
        self._lengths = np.array([len(values) for values in series])
        self._n = int(self._lengths.max(initial=0))
        self._raw = np.zeros((len(series), self._n))
        for row, values in enumerate(series):
            # Relative to its first sample, so that sums of squares do not cancel.
            self._raw[row, : len(values)] = values - values[0] if len(values) else values
        self._tame = self._raw.copy()
        """The same, single samples far off pulled in."""
        sums = (np.zeros((len(series), self._n + 1)) for _ in range(4))
        self._sums, self._squares, self._products, self._far = sums
        """Of each row up to each sample; products are those of neighbours, and of samples `FAR` apart."""
        self._ended: Resemblance[Floats] = Resemblance(*(np.zeros(len(series)) for _ in range(4)))
        """Of the levels that have ended."""
        self._low, self._high = (np.zeros(len(series)) for _ in range(2))
        self._splits = Splits(len(series), self._n)
        self._since: Integers = np.zeros(len(series), np.int64)
        """Where each row's present level began."""
        self._opens_at: Integers = np.full(len(series), rules.min_before - 1)
        freedom = np.arange(1, rules.window + 2)
        # A correlation is as likely above its estimate as below: p there is at most twice the mean of p.
        self._least_t = np.concatenate([[np.inf], -stdtrit(freedom, rules.max_p)])

    def run(self) -> None:
        """Test at every sample of every series once, in time order."""
        for t in range(self._n):
            for row in np.flatnonzero(self._lengths == t):
                self._splits.close(int(row))
            self._take(t)
            if t + 1 >= self._rules.min_before + self._rules.min_after:
                self._look(t)
            for row in np.flatnonzero((self._opens_at == t) & (self._lengths > t)):
                self._open(int(row), t)
        for scanned, since, n in zip(self._scans, self._since, self._lengths, strict=True):
            scanned.since = max(int(since), int(n) - self._rules.window)

    def _take(self, t: int) -> None:
        """Add sample `t` to the windows, and remove the oldest."""
        low = max(0, t + 1 - self._rules.window)
        open_ = self._splits.begin <= t
        if t % BOUNDS_EVERY == 0 and t:
            self._bound(t, low)
        tame = np.clip(self._raw[:, t], self._low, self._high)
        self._tame[:, t] = np.where(open_, tame, self._raw[:, t])
        self._sum(slice(None), t, t + 1)
        if t + 1 > self._rules.window:
            self._splits.drop(self._tame[:, low - 1 : t], low - 1)
        if t > low:
            self._splits.push(t, self._tame[:, low : t + 1])

    def _bound(self, t: int, low: int) -> None:
        """The bounds of outliers from the window before sample `t`; the spread is at least `min_effect`."""
        known = np.flatnonzero(self._splits.begin < t)
        begin = np.maximum(self._splits.begin[known], low)
        outside = np.arange(low, t) < begin[:, None]
        window = np.where(outside, np.inf, self._raw[known, low:t])
        median = _median(window, t - begin)
        spread = _median(np.where(outside, np.inf, np.abs(window - median[:, None])), t - begin)
        far = FAR_SD * np.maximum(MAD_TO_SD * spread, self._least)
        self._low[known], self._high[known] = median - far, median + far

    def _open(self, row: int, t: int) -> None:
        """Start to test a level that now has enough samples."""
        begin = int(self._since[row])
        values = self._raw[row, begin : t + 1]
        self._low[row], self._high[row] = bounds(values, self._least)
        tame = np.clip(values, self._low[row], self._high[row])
        self._tame[row, begin : t + 1] = tame
        for at in range(begin, t + 1):
            self._sum(row, at, at + 1)
        self._splits.open(row, begin, tame)

    def _sum(self, rows: slice | int, begin: int, end: int) -> None:
        values = self._tame[rows, begin]
        self._sums[rows, end] = self._sums[rows, begin] + values
        self._squares[rows, end] = self._squares[rows, begin] + values * values
        if begin:
            self._products[rows, end] = self._products[rows, begin] + values * self._tame[rows, begin - 1]
        if begin >= FAR:
            self._far[rows, end] = self._far[rows, begin] + values * self._tame[rows, begin - FAR]

    def _look(self, t: int) -> None:
        """Test all rows for a change at sample `t`: a quick test first, the full one for those that pass."""
        rough = self._splits.best(max(0, t + 1 - self._rules.window), t)
        begin, rules = self._splits.begin, self._rules
        enough = (begin <= t) & (rough - begin >= rules.min_before) & (t + 1 - rough >= rules.min_after)
        rows = np.flatnonzero(enough)
        if len(rows):
            split, passes = self._test(rows, begin[rows], rough[rows], t)
            for k in np.flatnonzero(passes):
                self._judge(int(rows[k]), int(split[k]), t)

    def _test(
        self, rows: Integers, begin: Integers, rough: Integers, t: int
    ) -> tuple[Integers, np.ndarray[tuple[int], np.dtype[np.bool]]]:
        """The clearest split near each row's rough one, and whether it passes the quick test.

        Whitening looks at the jump between two samples above all: a split beside it shows little.
        """
        older = self._older(rows, begin)
        split, passes, clearest = rough.copy(), np.zeros(len(rows), np.bool), np.zeros(len(rows))
        least, most = begin + self._rules.min_before, t + 1 - self._rules.min_after
        for shift in range(-NEARBY, NEARBY + 1):
            at = np.clip(rough + shift, least, most)
            groups = self._groups(rows, begin, at, t)
            noise = groups.resemblance
            r = (noise + older).r
            difference, error = groups.step(r)
            size = np.abs(difference)
            clear = size / error
            better = clear > clearest
            freedom = np.clip(groups.n + groups.m - 3, 1, self._rules.window).astype(int)
            certain = clear > self._least_t[freedom]
            certain &= groups.m >= self._rules.min_after + NEARLY * burst_samples(r)
            certain |= size * size > CLEAR_SD**2 * noise.squares / freedom
            split[better], clearest[better] = at[better], clear[better]
            passes[better] = (certain & (size >= self._least * NEARLY))[better]
        return split, passes

    def _groups(self, rows: Integers, begin: Integers, split: Integers, t: int) -> TwoGroups[Floats]:
        """The tame samples of each row's window on both sides of its split."""
        tame, end = self._tame, np.full_like(begin, t + 1)
        n, m = (split - begin).astype(float), (t + 1.0 - split)
        left, right = self._total(rows, begin, split), self._total(rows, split, end)
        old, new = left / n, right / m
        far = self._far[rows, t + 1] - self._far[rows, begin + FAR]
        far -= old * (self._total(rows, begin, split - FAR) + self._total(rows, begin + FAR, split + FAR))
        far -= new * (self._total(rows, split - FAR, end - FAR) + self._total(rows, split + FAR, end))
        far += (n - FAR) * old * old + FAR * old * new + (m - FAR) * new * new
        return TwoGroups(
            n,
            m,
            left,
            right,
            self._squares[rows, t + 1] - self._squares[rows, begin],
            self._products[rows, t + 1] - self._products[rows, begin + 1],
            far,
            tame[rows, begin],
            tame[rows, split - 1],
            tame[rows, split],
            tame[rows, t],
        )

    def _total(self, rows: Integers, begin: Integers, end: Integers) -> Floats:
        found: Floats = self._sums[rows, end] - self._sums[rows, begin]
        return found

    def _older(self, rows: Integers, end: Integers) -> Resemblance[Floats]:
        """What is known of each row's noise before sample `end`, where its window begins."""
        level = self._level(rows, self._since[rows], end)
        return level + self._ended.apply(lambda sums: sums[rows])

    def _level(self, rows: Integers, begin: Integers, end: Integers) -> Resemblance[Floats]:
        """Of the samples from `begin` to `end` about their mean; nothing of fewer than `min_before`."""
        last = np.maximum(end - 1, begin)
        first_ones, last_ones = np.minimum(begin + FAR, end), np.maximum(end - FAR, begin)
        found = resemblance_of(
            (end - begin).astype(float),
            self._total(rows, begin, end),
            self._squares[rows, end] - self._squares[rows, begin],
            self._products[rows, end] - self._products[rows, np.minimum(begin + 1, end)],
            self._tame[rows, begin] + self._tame[rows, last],
            self._far[rows, end] - self._far[rows, first_ones],
            self._total(rows, begin, first_ones) + self._total(rows, last_ones, end),
        )
        counts = (found.n >= self._rules.min_before).astype(float)
        return found.apply(lambda sums: sums * counts)

    def _judge(self, row: int, split: int, t: int) -> None:
        begin, values = int(self._splits.begin[row]), self._raw[row]
        left, right = pull_in(values[begin:split], values[split : t + 1], self._least, self._rules.min_after)
        older = self._older(np.array([row]), np.array([begin]))
        found = compare(left, right, older.apply(lambda sums: float(sums[0])))
        is_small = abs(right.mean() - left.mean()) < self._least
        is_short = len(right) < self._rules.min_after + found.fading
        if found.p >= self._rules.max_p or is_small or is_short or not _lasts(left, right):
            return
        self._scans[row].steps.append(ScanStep(split, t, begin, found))
        self._end_level(row, split)
        self._splits.close(row)
        self._since[row] = split
        self._opens_at[row] = max(split + self._rules.min_before - 1, t)

    def _end_level(self, row: int, end: int) -> None:
        """Keep what the level that ends taught of the noise."""
        level = self._level(np.array([row]), self._since[[row]], np.array([end]))
        for kept, found in zip(
            (self._ended.n, self._ended.products, self._ended.squares, self._ended.far),
            (level.n, level.products, level.squares, level.far),
            strict=True,
        ):
            kept[row] += found[0]


def _lasts(left: Floats, right: Floats) -> bool:
    """True if the last two samples are nearer to the new level than to the old one."""
    old, new = left.mean(), right.mean()
    return bool(((right[-2:] - (old + new) / 2) * np.sign(new - old) > 0).all())


def _median(window: Floats, n: Integers) -> Floats:
    """The median of the `n` finite values of each row."""
    ordered, rows = np.sort(window, axis=1), np.arange(len(window))
    middle: Floats = (ordered[rows, (n - 1) // 2] + ordered[rows, n // 2]) / 2
    return middle
