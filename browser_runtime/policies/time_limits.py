"""Time limits of operations: a multiple of what each usually takes.

A constant limit has to suit the largest model on the slowest machine, so a page that hangs while it runs a
small one is noticed after minutes. The guide: "adaptive timeouts based on operation complexity".
"""

from __future__ import annotations

from dataclasses import dataclass

from browser_runtime.policies.latencies import LatencySummary

# A machine that is busy with something else was seen to slow work down four times; ten is beyond that.
FACTOR = 10.0
# Below this a pause of the whole machine (swapping, a suspended laptop) would look like a hang.
SHORTEST_RUN_S, SHORTEST_LOAD_S = 5.0, 30.0
# A run that meets a new shape opens a graph for it, which takes about as long as loading the model did.
LOADS_IN_A_RUN = 2.0
# A warm-up says less than runs do: it takes so much more to give up what is known by it alone.
FIRST_RUN_FACTOR = 2.0
# A step of text generation: a token of each of eight texts, and a piece of a prompt that has just come.
UNITS_OF_A_STEP = 40
# Fewer runs are chance: the first one compiles, the second may meet another shape.
MIN_RUNS = 3


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """A time limit and its origin."""

    seconds: float
    reason: str

    def at_least(self, least_s: float | None) -> TimeLimit:
        """The same, or `least_s` where that is longer: what another attempt is given."""
        if least_s is None or least_s <= self.seconds:
            return self
        return TimeLimit(least_s, "longer, after an attempt that was given up")


@dataclass(frozen=True, slots=True)
class WarmUp:
    """Findings of opening a model on a lane."""

    run_s: float
    """One run on a sample, which is one unit of work or more."""
    open_s: float
    """Fetching, compiling and warming up."""


def limit_run(
    known: LatencySummary | None,
    n_units: int,
    load: LatencySummary | None,
    longest_s: float,
    warm_up: WarmUp | None = None,
) -> TimeLimit:
    """The limit of one run of `n_units` of work, measured in the same units as `known`.

    Until the model's runs are measured, its warm-up stands for them.
    """
    if known is None or known.n_runs < MIN_RUNS:
        return _limit_first_run(warm_up, n_units, longest_s)
    usual_s = max(known.p95_ms, known.cost.predict_ms(n_units)) / 1000
    spare_s = 0.0 if load is None else LOADS_IN_A_RUN * load.p95_ms / 1000
    return _limit(usual_s, spare_s, SHORTEST_RUN_S, longest_s)


def limit_silence(
    known: LatencySummary | None,
    n_units: int,
    load: LatencySummary | None,
    longest_s: float,
    warm_up: WarmUp | None = None,
) -> TimeLimit:
    """The limit of the time in which a run does `n_units` of its work, however much that is in all."""
    if known is None or known.n_runs < MIN_RUNS:
        return _limit_first_run(warm_up, n_units, longest_s)
    spare_s = 0.0 if load is None else LOADS_IN_A_RUN * load.p95_ms / 1000
    return _limit(known.cost.predict_ms(n_units) / 1000, spare_s, SHORTEST_RUN_S, longest_s)


def _limit_first_run(warm_up: WarmUp | None, n_units: int, longest_s: float) -> TimeLimit:
    if warm_up is None:
        return TimeLimit(longest_s, "not measured yet: the longest there is")
    spare_s = LOADS_IN_A_RUN * warm_up.open_s
    shortest_s = FIRST_RUN_FACTOR * SHORTEST_RUN_S
    limit = _limit(warm_up.run_s * n_units, spare_s, shortest_s, longest_s)
    return TimeLimit(limit.seconds, f"{limit.reason}; by its warm-up, since it is not measured yet")


def limit_load(known: LatencySummary | None, longest_s: float) -> TimeLimit:
    """The limit of loading a model that has been loaded before."""
    if known is None:
        return TimeLimit(longest_s, "not measured yet: the longest there is")
    return _limit(known.p95_ms / 1000, 0.0, SHORTEST_LOAD_S, longest_s)


def _limit(usual_s: float, spare_s: float, shortest_s: float, longest_s: float) -> TimeLimit:
    wanted_s = FACTOR * usual_s + spare_s
    seconds = min(max(wanted_s, shortest_s), longest_s)
    bound = "" if seconds == wanted_s else f", at {'least' if wanted_s < seconds else 'most'} {seconds:g} s"
    return TimeLimit(round(seconds, 3), f"{FACTOR:g} times the usual {usual_s:.3g} s{bound}")
