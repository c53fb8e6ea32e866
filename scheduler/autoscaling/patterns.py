"""Arrival patterns: when requests come, from a rate over time and from a recording. Pure, repeatable."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

Rate = Callable[[float], float]
"""Arrivals a second at a time in seconds."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Arrivals, in seconds from the start."""

    name: str
    told: str
    duration_s: float
    arrivals: tuple[float, ...]


def _step(t: float) -> float:
    return 8.0 if 300 <= t < 900 else 1.0


def _ramp(t: float) -> float:
    return 0.5 + 11.5 * max(1 - abs(t - 900) / 900, 0.0)


def _spike(t: float) -> float:
    return 20.0 if t % 600 >= 570 else 1.0


def _day(t: float) -> float:
    return 5.25 - 4.75 * math.cos(2 * math.pi * t / 7200)


def _flapping(t: float) -> float:
    return 6.0 if t % 90 >= 45 else 1.0


def _steady(t: float) -> float:
    return 5.0


RATES: dict[str, tuple[str, float, Rate, float]] = {
    "steady": ("5/s throughout", 1800, _steady, 5.0),
    "step": ("1/s, for ten minutes 8/s, 1/s again", 1800, _step, 8.0),
    "ramp": ("0.5/s to 12/s in 15 minutes and back", 1800, _ramp, 12.0),
    "spike": ("1/s; every ten minutes 20/s for 30 s", 2400, _spike, 20.0),
    "daily": ("a day of 0.5/s to 10/s in two hours", 7200, _day, 10.0),
    "flapping": ("45 s of 1/s, 45 s of 6/s, over and over", 1800, _flapping, 6.0),
}


def draw_pattern(name: str, seed: int = 3) -> Pattern:
    """The named pattern as Poisson arrivals."""
    told, duration_s, rate, highest = RATES[name]
    return Pattern(name, told, duration_s, tuple(_thinned(rate, highest, duration_s, seed)))


def _thinned(rate: Rate, highest: float, duration_s: float, seed: int) -> Iterator[float]:
    """A Poisson process of varying rate, by thinning (Lewis and Shedler 1979)."""
    chance, now = random.Random(seed), 0.0  # noqa: S311 - a repeatable simulation
    while (now := now + chance.expovariate(highest)) < duration_s:
        if chance.random() * highest < rate(now):
            yield now


def recorded_pattern(times_s: Sequence[float], name: str = "recorded") -> Pattern:
    """A recording's arrivals, in seconds of any origin."""
    ordered = sorted(times_s)
    first = ordered[0] if ordered else 0.0
    arrivals = tuple(at - first for at in ordered)
    duration_s = arrivals[-1] + 60 if arrivals else 0.0
    return Pattern(name, f"{len(arrivals)} recorded arrivals", duration_s, arrivals)
