"""Samples that resemble their neighbours: how much they do, and the step between two groups of them.

Noise is taken for autoregressive of order one: each sample keeps a share r of the last one's deviation. A
step is then estimated by generalised least squares, which is ordinary least squares after r times each
sample's predecessor was taken off (Prais & Winsten, 1954). All of it needs only sums, so that many series are
tested in step. An r that was estimated from n samples is itself uncertain, by sqrt((1 - r^2) / n).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

import numpy as np

from scheduler.regression.energy import Floats

# Beyond this the samples are a random walk, not a level with noise.
MAX_CORRELATION = 0.97
# Where resemblance that falls off slowly shows: at so many samples' distance autoregressive noise has kept
# r to that power, and noise that lasts more. Where neighbours resemble each other little, chance makes much
# of it: there it must be 2.5 standard errors more, else one, since recorded noise nearly always lasts
# (webinfer/bench/noise_recordings).
FAR = 4
LITTLE, MUCH, LITTLE_ERRORS, MUCH_ERRORS = 0.2, 0.4, 2.5, 1.0
# Prevents division by zero in series without noise: a billionth of the value.
LEAST_SD = 1e-9
# Where r is looked at, in its standard errors: enough points to integrate a normal distribution. Too low
# an r makes false alarms, so the upper side reaches further.
NODES: Floats = np.linspace(-3.0, 4.5, 16)
WEIGHTS: Floats = np.exp(-NODES * NODES / 2) / np.exp(-NODES * NODES / 2).sum()
# An estimate is too low in few samples, and the more where the best of all splits took the noise's own slow
# waves for a step: in 30 samples much, in 120 hardly. These and the next are from simulations: with them one
# quiet month in a hundred raises an alarm at any r up to 0.8.
BIAS, SPLIT_BIAS = 6.0, 400.0
# The estimate of a high r is skewed: it is far too low more often than a normal distribution has it.
SKEWED_FROM, SKEW = 0.55, 3.0

# What may be left of a burst, and how many samples it is waited for at most: a change is found within 20.
FADED, LONGEST_FADING = 0.2, 15

T = TypeVar("T", float, Floats)
U = TypeVar("U", float, Floats)


@dataclass(frozen=True, slots=True)
class Resemblance(Generic[T]):
    """Deviations from their levels: sums of products of neighbours, of squares, and of products of samples
    `FAR` apart, of `n` samples."""

    n: T
    products: T
    squares: T
    far: T

    def __add__(self, other: Resemblance[T]) -> Resemblance[T]:
        return Resemblance(
            self.n + other.n,
            self.products + other.products,
            self.squares + other.squares,
            self.far + other.far,
        )

    def apply(self, change: Callable[[T], U]) -> Resemblance[U]:
        """The same with each sum changed: of some rows, of one, or of none."""
        return Resemblance(*map(change, (self.n, self.products, self.squares, self.far)))

    @property
    def near(self) -> T:
        """The correlation of neighbours, corrected for its bias in few samples; 0 without noise."""
        r: T = np.clip(self._corrected(self.products), 0.0, MAX_CORRELATION)
        return r

    @property
    def r(self) -> T:
        """The correlation of autoregressive noise that lasts as long: of neighbours, or more.

        Noise that is in part independent and in part lasting resembles its neighbours little for how long it
        does. It shows at `FAR` samples' distance.
        """
        near, far = self.near, self._corrected(self.far)
        error = np.sqrt((1 + near * near) / ((1 - near * near) * np.maximum(self.n, 1)))
        lasting = np.clip(np.maximum(far, 0.0) ** (1 / FAR), near, MAX_CORRELATION)
        errors = np.interp(near, (LITTLE, MUCH), (LITTLE_ERRORS, MUCH_ERRORS))
        r = np.where(far - near**FAR > errors * error, lasting, near)
        return cast(T, r)

    def _corrected(self, products: T) -> T:
        n = np.maximum(self.n, 1)
        found = np.divide(products, np.maximum(self.squares, self.n * LEAST_SD**2))
        corrected: T = found * (1 + BIAS / n + SPLIT_BIAS / n**2)
        return corrected


def burst_samples(r: T) -> T:
    """The samples in which a burst fades where neighbours resemble each other by `r`, from 0 to 1.

    Until little of it is left it looks like a new level.
    """
    fading = math.log(FADED) / np.log(np.clip(r, LEAST_SD, MAX_CORRELATION))
    return cast(T, np.floor(np.minimum(fading, LONGEST_FADING)))


def likely_correlations(r: float, n: float) -> Floats:
    """What r may be where `n` samples told it, with the chances `WEIGHTS`.

    Normal on the scale of Fisher's transformation.
    """
    error = (1 + SKEW * max(r - SKEWED_FROM, 0.0)) / math.sqrt(max(n - 3, 1.0) * (1 - r * r))
    return np.clip(np.tanh(math.atanh(r) + NODES * error), 0.0, MAX_CORRELATION)


@dataclass(frozen=True, slots=True)
class TwoGroups(Generic[T]):
    """Sums of two groups of samples, the one behind the other; each is a number, or one for each series."""

    n: T
    """Samples of the left group."""
    m: T
    left: T
    right: T
    squares: T
    """Of all samples."""
    products: T
    """Of all neighbours, those across the border too."""
    far: T
    """Of deviations from each group's own mean, of all that are `FAR` apart."""
    first: T
    last_left: T
    first_right: T
    last: T

    @property
    def resemblance(self) -> Resemblance[T]:
        """Of the deviations from each group's own mean."""
        old, new = self.left / self.n, self.right / self.m
        products = self.products - self.last_left * self.first_right
        products += (self.n - 1) * old * old - old * (2 * self.left - self.first - self.last_left)
        products += (self.m - 1) * new * new - new * (2 * self.right - self.first_right - self.last)
        products += (self.last_left - old) * (self.first_right - new)
        squares = self.squares - old * self.left - new * self.right
        return Resemblance(self.n + self.m, products, np.maximum(squares, 0.0), self.far)

    def step(self, r: T) -> tuple[T, T]:
        """The difference of the right group's level from the left one's, and its standard error."""
        n, rr, total = self.n + self.m, r * r, self.left + self.right
        level, both, change = design(self.n, self.m, r)
        ends = self.first + self.last
        level_sum = total + rr * (total - ends) - r * (2 * total - ends)
        inner = 2 * self.right - self.first_right - self.last + self.last_left
        change_sum = self.right + rr * (self.right - self.last) - r * inner
        borders = self.first * self.first + self.last * self.last
        whitened = self.squares + rr * (self.squares - borders) - 2 * r * self.products
        spread = level * change - both * both
        difference = (level * change_sum - both * level_sum) / spread
        mean = (change * level_sum - both * change_sum) / spread
        rest = np.maximum(whitened - mean * level_sum - difference * change_sum, 0.0)
        error = np.sqrt((rest / np.maximum(n - 2, 1) + LEAST_SD**2) * level / spread)
        return difference, error


def design(n: T, m: T, r: T) -> tuple[T, T, T]:
    """Sums of squares of the whitened level and step, and of their product: `n` samples before, `m` after."""
    rr = r * r
    level = n + m + rr * (n + m - 2) - 2 * r * (n + m - 1)
    both = m + rr * (m - 1) - r * (2 * m - 1)
    change = m + rr * (m - 1) - 2 * r * (m - 1)
    return level, both, change


def two_groups(left: Floats, right: Floats) -> TwoGroups[float]:
    """The sums of two groups of at least two samples each."""
    both = np.concatenate([left, right])
    rest = np.concatenate([left - left.mean(), right - right.mean()])
    return TwoGroups(
        float(len(left)),
        float(len(right)),
        float(left.sum()),
        float(right.sum()),
        float((both * both).sum()),
        float((both[1:] * both[:-1]).sum()),
        resemblance_about(rest).far,
        float(left[0]),
        float(left[-1]),
        float(right[0]),
        float(right[-1]),
    )


def resemblance_about(rest: Floats) -> Resemblance[float]:
    """Of deviations from their levels, in time order."""
    products, far = rest[1:] @ rest[:-1], rest[FAR:] @ rest[:-FAR]
    return Resemblance(float(len(rest)), float(products), float(rest @ rest), float(far))


def resemblance_of(n: T, total: T, squares: T, products: T, ends: T, far: T, far_ends: T) -> Resemblance[T]:
    """Of one group about its mean, from its sums.

    `ends`: its first and last sample together; `far_ends`: its first and last `FAR` together.
    """
    mean = total / np.maximum(n, 1)
    around = products - mean * (2 * total - ends) + (n - 1) * mean * mean
    far_around = far - mean * (2 * total - far_ends) + (n - FAR) * mean * mean
    return Resemblance(n, around, np.maximum(squares - mean * total, 0.0), far_around)
