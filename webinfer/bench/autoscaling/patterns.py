"""Arrival patterns: times of requests, from a rate over time or a recording. Pure, repeatable."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

# How long a recording goes on after its last arrival.
QUIET_END_S = 60.0

Rate = Callable[[float], float]
"""Arrivals a second at a time in seconds."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Arrivals, in seconds from the start; a recording also has the times measured with it."""

    name: str
    description: str
    duration_s: float
    arrivals: tuple[float, ...]
    service_s: float | None = None
    service_cv: float | None = None
    start_s: float | None = None


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


@dataclass(frozen=True, slots=True)
class Bursts:
    """Random quiet and busy times: a Markov-modulated Poisson process (Fischer, Meier-Hellstern 1993)."""

    quiet_per_s: float = 2.0
    busy_per_s: tuple[float, ...] = (20.0, 40.0, 60.0)
    """One of these, drawn anew for each busy time."""
    quiet_mean_s: float = 60.0
    busy_mean_s: float = 25.0

    def draw(self, seconds: float, seed: int) -> Iterator[float]:
        """The times of arrivals."""
        chance = random.Random(seed)  # noqa: S311 - a repeatable simulation
        for begin, end, per_s in self._times(chance, seconds):
            now = begin
            while (now := now + chance.expovariate(per_s)) < end:
                yield now

    def _times(self, chance: random.Random, seconds: float) -> Iterator[tuple[float, float, float]]:
        """(begin, end, arrivals a second), quiet and busy in turns."""
        now, is_busy = 0.0, False
        while now < seconds:
            length_s = chance.expovariate(1 / (self.busy_mean_s if is_busy else self.quiet_mean_s))
            per_s = chance.choice(self.busy_per_s) if is_busy else self.quiet_per_s
            yield now, min(now + length_s, seconds), per_s
            now, is_busy = now + length_s, not is_busy


BURSTS = "bursts"
BURSTS_TOLD = "2/s; by chance 20, 40 or 60/s for a while"
SYNTHETIC = (*RATES, BURSTS)


def draw_pattern(name: str, seed: int = 3) -> Pattern:
    """The named pattern as Poisson arrivals."""
    if name == BURSTS:  # about as measured with the recording `speech`
        arrivals = tuple(Bursts().draw(3600, seed))
        return Pattern(BURSTS, BURSTS_TOLD, 3600, arrivals, service_s=0.1, service_cv=0.5, start_s=7.0)
    description, duration_s, rate, highest = RATES[name]
    return Pattern(name, description, duration_s, tuple(_thinned(rate, highest, duration_s, seed)))


def _thinned(rate: Rate, highest: float, duration_s: float, seed: int) -> Iterator[float]:
    """A Poisson process of varying rate, by thinning (Lewis and Shedler 1979)."""
    chance, now = random.Random(seed), 0.0  # noqa: S311 - a repeatable simulation
    while (now := now + chance.expovariate(highest)) < duration_s:
        if chance.random() * highest < rate(now):
            yield now


def recorded_pattern(times_s: Sequence[float], name: str = "recorded", **measured: float) -> Pattern:
    """A recording's arrivals, in seconds of any origin; `measured`: the pattern's other fields."""
    ordered = sorted(times_s)
    first = ordered[0] if ordered else 0.0
    arrivals = tuple(at - first for at in ordered)
    duration_s = arrivals[-1] + QUIET_END_S if arrivals else 0.0
    return Pattern(name, f"{len(arrivals)} recorded arrivals", duration_s, arrivals, **measured)
