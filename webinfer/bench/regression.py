"""Measures how many true changes are found and how many false ones reported, on generated series.

The rule to beat: a sample alarms when it is further than a threshold from the mean of the 30 days before it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from scheduler.regression.analysing import visible_change
from scheduler.regression.energy import Floats
from scheduler.regression.rules import Rules
from scheduler.regression.scanning import scan
from scheduler.regression.significance import POWER
from webinfer.bench.noises import NOISES, Noise, draw, normal

HOURS_A_MONTH = 720
DAYS_A_MONTH = 30
WITHIN = 20
"""Samples that a detector has to find a step."""
# Between a window's worth and a few days.
BASELINE = 120
MIN_BASELINE = 15
SIZES = (0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.10, 0.12, 0.15, 0.20, 0.25, 0.30)
# The guide's medium threshold of latency; one with under 1 % of false alarms on normal noise; and the size
# of the step that shall be found.
THRESHOLDS = (0.20, 0.14, 0.10)
CHUNK = 1000
A_FIFTH = 1.2

Detector = Callable[[Floats], list[list[int]]]
"""Series of samples -> for each, the samples at which it was alarmed."""


def change_points(values: Floats) -> list[list[int]]:
    """The detector of webinfer."""
    return [[step.seen_at for step in one.steps] for one in scan(list(np.log(values)), Rules())]


def mean_rule(threshold: float, days: int = HOURS_A_MONTH) -> Detector:
    """Alarm at each sample further than `threshold` from the mean of the `days` (in samples) before it."""

    def detect(values: Floats) -> list[list[int]]:
        n = values.shape[1]
        sums = np.concatenate([np.zeros((len(values), 1)), values.cumsum(axis=1)], axis=1)
        at = np.arange(MIN_BASELINE, n)
        first = np.maximum(at - days, 0)
        mean = (sums[:, at] - sums[:, first]) / (at - first)
        alarmed = np.abs(values[:, at] / mean - 1) > threshold
        return [list(at[row]) for row in alarmed]

    return detect


DETECTORS: dict[str, Detector] = {"change points": change_points} | {
    f"30-day mean, {threshold:.0%}": mean_rule(threshold) for threshold in THRESHOLDS
}


@dataclass(frozen=True, slots=True)
class Quiet:
    """Results for months without a change."""

    noise: str
    detector: str
    samples_a_month: int
    n_months: int
    n_alarmed: int
    share: float


@dataclass(frozen=True, slots=True)
class Found:
    """Results for steps after `n_before` samples."""

    noise: str
    detector: str
    ratio: float
    n_before: int
    n: int
    share: float
    """Found within 20 samples, by a detector that had not alarmed in the samples before."""
    median_delay: float | None
    """Samples from the first of the new level to the one that showed it, of those found."""


@dataclass(frozen=True, slots=True)
class Visible:
    """The smallest visible change that is told, beside what is found."""

    noise: str
    n_before: int
    n: int
    n_told: int
    """Of how many series one is told; the others have no level yet, or one that wanders."""
    told: float | None
    """In the median of those."""
    shares: tuple[float, float, float]
    """Of steps found: a fifth smaller than what is told, as large, a fifth larger."""

    @property
    def is_true(self) -> bool:
        """To within a fifth: smaller steps are found in less than 95 %, larger ones in as many or more."""
        smaller, _, larger = self.shares
        return smaller < POWER <= larger


@dataclass(frozen=True, slots=True)
class Speed:
    """The speed of the analysis."""

    n_series: int
    n_samples: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Quality:
    """All results."""

    quiet: list[Quiet]
    found: list[Found]
    curves: list[Found]
    """Normal noise, steps of all sizes."""
    visible: list[Visible]
    speed: Speed


def measure_quality(
    n_months: int,
    n_steps: int,
    seed: int,
    tell: Callable[[str], None],
    noises: Mapping[str, Noise] = MappingProxyType(NOISES),
) -> Quality:
    """Every detector on every noise: `n_months` quiet months of the normal, a tenth of that of the others."""
    rng = np.random.default_rng(seed)
    quiet, found, visible = [], [], []
    for name, noise in noises.items():
        tell(f"quiet months, noise: {name}")
        for length in (HOURS_A_MONTH, DAYS_A_MONTH):
            n = n_months if noise is normal else max(n_months // 10, 100)
            quiet += measure_quiet(name, noise, length, n, rng)
        tell(f"steps, noise: {name}")
        for ratio, before in ((1.1, BASELINE), (0.9, BASELINE), (1.1, DAYS_A_MONTH)):
            found += measure_steps(name, noise, ratio, before, n_steps, rng)
        tell(f"the smallest visible change, noise: {name}")
        visible.append(measure_visible(name, noise, n_steps, rng))
    tell("steps of all sizes")
    curves = [
        one for size in SIZES for one in measure_steps("normal", normal, 1 + size, BASELINE, n_steps, rng)
    ]
    return Quality(quiet, found, curves, visible, measure_speed(1000, rng))


def measure_quiet(
    name: str, noise: Noise, length: int, n_months: int, rng: np.random.Generator
) -> list[Quiet]:
    """Months with an alarm in them, of `length` samples each, beginning without any baseline."""
    alarmed = dict.fromkeys(DETECTORS, 0)
    for start in range(0, n_months, CHUNK):
        values = draw(noise, rng, min(CHUNK, n_months - start), length)
        for detector, detect in DETECTORS.items():
            alarmed[detector] += sum(bool(seen) for seen in detect(values))
    return [Quiet(name, detector, length, n_months, n, n / n_months) for detector, n in alarmed.items()]


def measure_steps(
    name: str, noise: Noise, ratio: float, n_before: int, n: int, rng: np.random.Generator
) -> list[Found]:
    """Steps to `ratio` times the level, after `n_before` samples."""
    values = draw(noise, rng, n, n_before + WITHIN)
    values[:, n_before:] *= ratio
    return [_judge(name, detector, ratio, n_before, detect(values)) for detector, detect in DETECTORS.items()]


def measure_visible(name: str, noise: Noise, n: int, rng: np.random.Generator) -> Visible:
    """What is told of `n` series after `BASELINE` samples, and how many steps of that size are found."""
    quiet, rules = draw(noise, rng, n, BASELINE + WITHIN), Rules()
    levels = scan(list(np.log(quiet[:, :BASELINE])), rules)
    told = [
        visible_change(row[level.since : BASELINE], rules) for row, level in zip(quiet, levels, strict=True)
    ]
    known = [row for row, size in enumerate(told) if size is not None]
    sizes = np.array([told[row] for row in known], float)

    def share_found(multiple: float) -> float:
        values = quiet[known]
        values[:, BASELINE:] *= 1 + multiple * sizes[:, None]
        found = scan(list(np.log(values)), rules)
        return sum(any(step.seen_at >= BASELINE for step in one.steps) for one in found) / max(len(found), 1)

    shares = (share_found(1 / A_FIFTH), share_found(1.0), share_found(A_FIFTH))
    return Visible(name, BASELINE, n, len(known), float(np.median(sizes)) if known else None, shares)


def _judge(name: str, detector: str, ratio: float, n_before: int, seen: list[list[int]]) -> Found:
    """Judge the first alarm: one before the step is false, and later ones do not count."""
    delays = [one[0] - n_before + 1 for one in seen if one and one[0] >= n_before]
    median = float(np.median(delays)) if delays else None
    return Found(name, detector, ratio, n_before, len(seen), len(delays) / len(seen), median)


def measure_speed(n_series: int, rng: np.random.Generator) -> Speed:
    """Seconds for `n_series` of a month of hourly samples."""
    values = list(np.log(draw(normal, rng, n_series, HOURS_A_MONTH)))
    start = time.perf_counter()
    scan(values, Rules())
    return Speed(n_series, HOURS_A_MONTH, time.perf_counter() - start)
