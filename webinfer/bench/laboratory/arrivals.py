"""Times at which requests are to be sent, whatever became of those before: open-loop arrivals. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

CONSTANT, POISSON, BURSTS = "constant", "poisson", "bursts"
PATTERNS = (CONSTANT, POISSON, BURSTS)
# Of bursts: the share of the time, and how much more comes then. The mean rate is the one that was asked for.
BURST_EVERY_S, BURST_SHARE, BURST_FACTOR = 5.0, 0.2, 3.0


def draw_arrivals(pattern: str, rate: float, seconds: float, seed: int = 1) -> list[float]:
    """The seconds from the start of each request, in order, at `rate` a second in the mean."""
    if pattern == CONSTANT:
        return [k / rate for k in range(int(rate * seconds))]
    chance = random.Random(seed)  # noqa: S311 - a repeatable load
    if pattern == POISSON:
        return list(_poisson(chance, rate, 0.0, seconds))
    return list(_bursts(chance, rate, seconds))


def _poisson(chance: random.Random, rate: float, begin: float, end: float) -> Iterator[float]:
    now = begin
    while (now := now + chance.expovariate(rate)) < end:
        yield now


def _bursts(chance: random.Random, rate: float, seconds: float) -> Iterator[float]:
    """A fifth of each five seconds at three times the rate, the rest at half of it."""
    rest = (1 - BURST_SHARE * BURST_FACTOR) / (1 - BURST_SHARE)
    begin = 0.0
    while begin < seconds:
        burst_end = begin + BURST_SHARE * BURST_EVERY_S
        yield from _poisson(chance, rate * BURST_FACTOR, begin, min(burst_end, seconds))
        yield from _poisson(chance, rate * rest, burst_end, min(begin + BURST_EVERY_S, seconds))
        begin += BURST_EVERY_S


def scale_trace(times_s: Sequence[float], rate: float | None) -> list[float]:
    """A recorded trace from zero; squeezed or stretched to `rate` a second where that is given."""
    ordered = sorted(times_s)
    first, span = ordered[0], ordered[-1] - ordered[0]
    factor = 1.0 if rate is None or span == 0 else len(ordered) / (rate * span)
    return [(at - first) * factor for at in ordered]
