"""Ranks the ways to run a model that were measured: browser, backend, precision and accelerations. Pure.

Nothing is assumed of a way that was never run. Ways are compared at one batch size, as in `evidence.py`; the
error of a way's time is its spread over the root of its weight in fresh runs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist

from browser_runtime.contract.acceleration import ACCELERATIONS, WEBNN
from browser_runtime.contract.vocabulary import Browser
from scheduler.routing.evidence import Evidence, measure_all

# Two of a kind say what one costs more; with less it may be chance.
SURE = 0.95
# Rows that change how long a loaded model takes for a run.
SWITCHES = tuple(row.name for row in ACCELERATIONS.values() if row.switch and row is not WEBNN)


@dataclass(frozen=True, slots=True)
class Configuration:
    """One way to run a model."""

    browser: Browser
    backend: str
    precision: str
    accelerations: tuple[str, ...] = ()
    """Rows of the table of acceleration that it had."""

    def without(self, name: str) -> Configuration:
        """The same way without that row."""
        rest = tuple(each for each in self.accelerations if each != name)
        return Configuration(self.browser, self.backend, self.precision, rest)

    def __str__(self) -> str:
        flags = f" with {', '.join(self.accelerations)}" if self.accelerations else ""
        return f"{self.browser} {self.backend} {self.precision}{flags}"


@dataclass(frozen=True, slots=True)
class RankedConfiguration:
    """A way, with its time and the certainty of its place."""

    way: Configuration
    measured_ms: float
    error_factor: float
    """The time is within this factor of `measured_ms`, about two times out of three."""
    n_runs: int
    chance: float
    """Probability that no other way is quicker."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What to choose of one thing, all others being as in the quickest way that has it."""

    what: str
    """`browser`, `backend`, `precision`, or the name of a row of the table of acceleration."""
    choice: str
    over: str
    ratio: float
    """How many times as quick as the next best."""
    certainty: float
    """Probability that it is quicker at all."""

    def __str__(self) -> str:
        sure = "" if self.certainty >= SURE else ", which may be chance"
        return (
            f"{self.what}: {self.choice} rather than {self.over}, {self.ratio:.2f} times as quick "
            f"({self.certainty:.0%} certain{sure})"
        )


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The ways in order, the quickest first, and what follows for each choice."""

    ways: tuple[RankedConfiguration, ...] = ()
    advice: tuple[Advice, ...] = field(default=())


def rank_configurations(evidence: Iterable[Evidence]) -> Recommendation:
    """The ways that were measured, of one model, and the advice that follows."""
    found = _measured(evidence)
    if not found:
        return Recommendation()
    ways = sorted(found, key=lambda each: each[1])
    ranked = tuple(
        RankedConfiguration(
            way,
            math.exp(mean),
            math.exp(error),
            n,
            math.prod(_chance(mean, error, other) for other in ways if other[0] != way),
        )
        for way, mean, error, n in ways
    )
    return Recommendation(ranked, tuple(_advise(ways)))


Way = tuple[Configuration, float, float, int]
"""Mean of ln(ms), its error, and the number of runs behind it."""


def _measured(evidence: Iterable[Evidence]) -> list[Way]:
    known: dict[Configuration, Evidence] = {}
    for each in evidence:
        if each.sums.w > 0:
            way = Configuration(each.browser, each.backend, each.precision, read_accelerations(each.flags))
            known[way] = _join(known[way], each) if way in known else each
    found = []
    for way, (_, measured) in zip(known, measure_all(list(known.values())), strict=True):
        error = measured.spread / math.sqrt(measured.n)
        found.append((way, measured.mean_ln_ms, error, measured.n_runs))
    return found


def _join(one: Evidence, other: Evidence) -> Evidence:
    """The runs of both, which differ in nothing that is ranked."""
    return replace(one, sums=one.sums + other.sums, n_runs=one.n_runs + other.n_runs)


def read_accelerations(flags: str) -> tuple[str, ...]:
    """The rows that are on in a run's flags, as the history has them."""
    try:
        known = json.loads(flags) if flags else {}
    except ValueError:
        return ()
    on = known.items() if isinstance(known, dict) else ()
    return tuple(sorted(name for name, value in on if value is True and name in SWITCHES))


def _chance(mean: float, error: float, other: Way) -> float:
    """Probability that a time is less than another way's."""
    return NormalDist().cdf((other[1] - mean) / max(math.hypot(error, other[2]), 1e-9))


def _advise(ways: Sequence[Way]) -> Iterable[Advice]:
    """Yields advice on every choice of which two or more values were measured."""
    choices: tuple[tuple[str, Callable[[Configuration], str]], ...] = (
        ("browser", lambda way: str(way.browser)),
        ("backend", lambda way: way.backend),
        ("precision", lambda way: way.precision),
    )
    for what, value_of in choices:
        best: dict[str, Way] = {}
        for way in ways:  # in order: the first of a value is its quickest
            best.setdefault(value_of(way[0]), way)
        if len(best) > 1:
            (choice, first), (over, second) = list(best.items())[:2]
            yield _compare(what, choice, first, over, second)
    by_way = {way[0]: way for way in ways}
    for name in SWITCHES:
        pairs = [
            (way, by_way[way[0].without(name)])
            for way in ways
            if name in way[0].accelerations and way[0].without(name) in by_way
        ]
        if pairs:
            on, off = min(pairs, key=lambda pair: min(pair[0][1], pair[1][1]))
            order = (("on", on, "off", off), ("off", off, "on", on))
            yield _compare(name, *(order[0] if on[1] < off[1] else order[1]))


def _compare(what: str, choice: str, first: Way, over: str, second: Way) -> Advice:
    return Advice(what, choice, over, math.exp(second[1] - first[1]), _chance(first[1], first[2], second))
