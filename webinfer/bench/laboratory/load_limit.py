"""The highest rate that a stack carries: doubled until it does not, then searched in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from webinfer.bench.laboratory.load import LoadResult

TryRate = Callable[[float], LoadResult]

FIRST_PER_S, MOST_PER_S = 4.0, 4096.0
# Two rates as near to each other are the answer.
NEAR = 1.08
# Of fewer there is no 95th percentile that was measured.
LEAST_REQUESTS = 40


def trial_seconds(rate: float, seconds: float) -> float:
    """The time to send at a rate: `seconds`, or longer where too few requests would come."""
    return max(seconds, LEAST_REQUESTS / rate)


@dataclass(slots=True)
class Limit:
    """What was tried, and the answer."""

    share: float
    limit_ms: float
    tried: list[LoadResult] = field(default_factory=list)
    carried_per_s: float | None = None
    """The highest rate that held, twice; None if none did."""
    failed_per_s: float | None = None
    """The lowest rate above it that did not hold; None if none failed."""
    is_cut: bool = False
    """True if Ctrl-C came before there was an answer."""

    def sentence(self) -> str:
        """The answer in words."""
        if self.is_cut:
            return f"stopped by hand before the limit was known: {self._known()}"
        wanted = f"p{self.share * 100:g} within {self.limit_ms:g} ms and every answer right"
        if self.carried_per_s is None:
            return f"no rate from {FIRST_PER_S:g}/s on holds: {wanted}"
        beyond = f"; {self.failed_per_s:.1f}/s does not" if self.failed_per_s else ", the most that was tried"
        return f"{self.carried_per_s:.1f} requests/s hold {wanted}{beyond}"

    def _known(self) -> str:
        """The highest rate that held, and the lowest that did not, of those that were tried to their end."""
        rates: dict[bool, list[float]] = {True: [], False: []}
        for one in self.tried:
            if not one.is_cut:
                rates[one.holds(self.share, self.limit_ms)].append(one.offered_per_s)
        told = [f"{max(rates[True]):.1f}/s held"] if rates[True] else []
        told += [f"{min(rates[False]):.1f}/s did not"] if rates[False] else []
        return ", ".join(told) or "no rate was tried to its end"


def find_limit(try_rate: TryRate, share: float, limit_ms: float) -> Limit:
    """The highest rate at which that share of answers comes in time, all of them right.

    The rate that is told was held twice: once in the search, and once more at its end. Ctrl-C ends it with
    the rates that were tried by then.
    """
    limit = Limit(share, limit_ms)

    def holds(rate: float) -> bool:
        limit.tried.append(try_rate(rate))
        if limit.tried[-1].is_cut:
            raise KeyboardInterrupt
        return limit.tried[-1].holds(share, limit_ms)

    try:
        limit.carried_per_s, limit.failed_per_s = _search(holds)
    except KeyboardInterrupt:
        if not limit.tried:
            raise
        limit.is_cut = True
    return limit


def _search(holds: Callable[[float], bool]) -> tuple[float | None, float | None]:
    """The highest rate that held, and the lowest above it that did not; None where there is none."""
    good, bad = 0.0, FIRST_PER_S
    while bad <= MOST_PER_S and holds(bad):
        good, bad = bad, bad * 2
    if not good:
        return None, bad
    if bad > MOST_PER_S:
        return good, None
    while bad / good > NEAR:
        middle = (good * bad) ** 0.5
        if holds(middle):
            good = middle
        else:
            bad = middle
    while good >= FIRST_PER_S and not holds(good):
        good, bad = good / NEAR, good
    return (good, bad) if good >= FIRST_PER_S else (None, bad)
