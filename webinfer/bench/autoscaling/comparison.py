"""Compares webinfer's autoscaler with its rivals: worker time at the same p95, for every pattern."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

from webinfer.bench.autoscaling.patterns import SYNTHETIC, Pattern, draw_pattern
from webinfer.bench.autoscaling.rivals import KedaScaler, OurScaler, ThresholdScaler
from webinfer.bench.autoscaling.simulation import (
    SimulatedQueue,
    SimulatedScaler,
    Simulation,
    SimulationResult,
)

OURS = "webinfer"
# A smaller relative difference of p95 counts as none: another seed changes as much.
SAME_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class AutoscalerRun:
    """One autoscaler on one pattern."""

    pattern: str
    scaler: str
    setting: str
    p95_s: float
    worker_minutes: float
    n_changes: int
    n_reversals: int
    is_default: bool = False

    @classmethod
    def of(
        cls, pattern: Pattern, scaler: str, setting: str, result: SimulationResult, is_default: bool = False
    ) -> AutoscalerRun:
        """The run of a simulation's result."""
        figures = (result.p95_s, result.worker_minutes, result.n_changes, result.n_reversals())
        return cls(pattern.name, scaler, setting, *figures, is_default)


@dataclass(frozen=True, slots=True)
class AutoscalerComparison:
    """One pattern: webinfer's run, and each rival's cheapest run with at most its p95, and default run."""

    pattern: Pattern
    simulated: SimulatedQueue
    ours: AutoscalerRun
    results: dict[str, SimulationResult]
    """Webinfer's result and each rival's default one, for pictures."""
    rivals: dict[str, AutoscalerRun | None]
    """None if no setting reaches webinfer's p95."""
    fastest: dict[str, AutoscalerRun]
    """Each rival's run with the lowest p95."""
    defaults: dict[str, AutoscalerRun]


def compare_autoscalers(
    usual: SimulatedQueue, patterns: Iterable[Pattern] | None = None
) -> Iterator[AutoscalerComparison]:
    """One comparison per pattern, in the `usual` queue or with the times measured with the pattern.

    Rivals may use another setting for each pattern; webinfer's is always the same.
    """
    for pattern in patterns or map(draw_pattern, SYNTHETIC):
        simulated = usual.of(pattern)
        result = Simulation(pattern.arrivals, OurScaler(simulated), simulated).run(pattern.duration_s)
        ours = AutoscalerRun.of(pattern, OURS, "default", result, is_default=True)
        runs, results = [], {OURS: result}
        for name, setting, scaler, is_default in rival_settings():
            found = Simulation(pattern.arrivals, scaler, simulated).run(pattern.duration_s)
            runs.append(AutoscalerRun.of(pattern, name, setting, found, is_default))
            if is_default:
                results[name] = found
        names = dict.fromkeys(run.scaler for run in runs)
        yield AutoscalerComparison(
            pattern,
            simulated,
            ours,
            results,
            {name: _cheapest(runs, name, ours.p95_s) for name in names},
            {name: min(_of(runs, name), key=lambda run: run.p95_s) for name in names},
            {run.scaler: run for run in runs if run.is_default},
        )


def _of(runs: list[AutoscalerRun], name: str) -> list[AutoscalerRun]:
    return [run for run in runs if run.scaler == name]


def _cheapest(runs: list[AutoscalerRun], name: str, p95_s: float) -> AutoscalerRun | None:
    as_fast = [run for run in _of(runs, name) if run.p95_s <= p95_s * (1 + SAME_SHARE)]
    return min(as_fast, key=lambda run: run.worker_minutes, default=None)


def rival_settings() -> Iterator[tuple[str, str, SimulatedScaler, bool]]:
    """(name, setting, scaler, is_default) for every setting of every rival."""
    for up, down, cool_s in product((0.5, 1.0, 2.0, 4.0), (0.3, 0.5, 0.7), (15.0, 30.0, 60.0)):
        setting = f"up > {up:g}, down < {down:g}, {cool_s:g} s"
        yield "threshold rule", setting, ThresholdScaler(up, down, cool_s), (up, down, cool_s) == (2, 0.3, 30)
    for length, window_s in product((1.0, 2.0, 5.0, 10.0), (0.0, 60.0, 120.0, 300.0)):
        setting = f"listLength {length:g}, down after {window_s:g} s"
        usual = (length, window_s) == (5, 300)
        yield "KEDA's formula", setting, KedaScaler(length, window_s), usual
    for length, window_s in product((0.5, 1.0, 1.5, 2.0, 5.0, 10.0), (0.0, 60.0, 120.0, 300.0)):
        setting = f"{length:g} a worker, down after {window_s:g} s"
        usual = (length, window_s) == (5, 300)
        yield "KEDA's formula with unacked", setting, KedaScaler(length, window_s, sees_unacked=True), usual
