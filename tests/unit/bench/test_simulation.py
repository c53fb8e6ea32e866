"""The decision over simulated time, against its rivals."""

from __future__ import annotations

import pytest

from webinfer.bench.autoscaling.comparison import compare_autoscalers
from webinfer.bench.autoscaling.drawing import draw
from webinfer.bench.autoscaling.patterns import SYNTHETIC, Pattern, draw_pattern, recorded_pattern
from webinfer.bench.autoscaling.recordings import load_recording, recording_names
from webinfer.bench.autoscaling.rivals import KedaScaler, OurScaler, ThresholdScaler
from webinfer.bench.autoscaling.simulation import QueueSample, SimulatedQueue, Simulation, SimulationResult

WORLD = SimulatedQueue()
# Two hours, and an hour of chance.
MOST_REVERSALS = {"daily": 10, "bursts": 10}


def run(pattern: Pattern, simulated: SimulatedQueue = WORLD) -> SimulationResult:
    return Simulation(pattern.arrivals, OurScaler(simulated), simulated).run(pattern.duration_s)


@pytest.mark.parametrize("name", SYNTHETIC)
@pytest.mark.parametrize("seed", [3, 11])
def test_every_request_is_answered_and_workers_hardly_come_and_go(name: str, seed: int) -> None:
    pattern = draw_pattern(name, seed)
    result = run(pattern)
    assert len(result.latencies_s) == len(pattern.arrivals)
    assert result.n_reversals() <= MOST_REVERSALS.get(name, 4)
    assert max(n for _, n in result.counts) <= WORLD.most


@pytest.mark.parametrize("name", ["steady", "step", "flapping"])
def test_less_worker_time_at_the_same_p95(name: str) -> None:
    """The rivals take the setting that suits the pattern best; ours is always the same."""
    comparison = next(compare_autoscalers(WORLD, [draw_pattern(name)]))
    assert set(comparison.rivals) == {"threshold rule", "KEDA's formula", "KEDA's formula with unacked"}
    for rival in comparison.rivals.values():
        assert rival is None or rival.worker_minutes > comparison.ours.worker_minutes


def test_a_lasting_step_is_held_and_then_given_back() -> None:
    result = run(draw_pattern("step"))
    assert min(n for at, n in result.counts if 360 < at < 900) >= 4
    assert result.counts[-1][1] <= 2


def test_nobody_comes_and_one_worker_stays() -> None:
    result = run(Pattern("empty", "", 1200, ()))
    assert {n for _, n in result.counts} == {1}
    assert result.worker_minutes == pytest.approx(20, abs=0.2)


def test_the_simulation_itself_costs_and_waits_as_computed_by_hand() -> None:
    """One worker, three requests at once, half a second each."""

    class One:
        def target(self, sample: QueueSample) -> int:
            return 1

    simulated = SimulatedQueue(service_cv=0.0)
    result = Simulation((1.0, 1.0, 1.0), One(), simulated).run(10.0)
    assert result.latencies_s == pytest.approx([0.5, 1.0, 1.5])
    assert result.worker_s == 10.0


def sample(**more: float) -> QueueSample:
    values = {"now": 100.0, "n_ready": 2, "n_starting": 0, "listed": 0, "in_flight": 0}
    values |= {"n_arrived": 0, "n_answered": 0, "mean_busy": 1.0}
    return QueueSample(**(values | more))  # type: ignore[arg-type]


def test_kedas_formula_as_documented() -> None:
    assert KedaScaler(5).target(sample(listed=11)) == 3
    assert KedaScaler(5).target(sample(listed=10)) == 2  # within its tolerance of a tenth
    assert KedaScaler(5).target(sample(listed=500)) == 6  # at most double, or four more
    assert KedaScaler(5).target(sample(in_flight=80)) == 1  # blind to what is taken
    assert KedaScaler(5, sees_unacked=True).target(sample(in_flight=80)) == 6


def test_the_threshold_rule() -> None:
    assert ThresholdScaler().target(sample(listed=5)) == 3
    assert ThresholdScaler().target(sample(mean_busy=0.2)) == 1
    assert ThresholdScaler().target(sample()) == 2


@pytest.mark.parametrize("name", recording_names())
def test_less_worker_time_at_the_same_p95_in_a_recording(name: str) -> None:
    pattern = load_recording(name)
    assert pattern.service_s and pattern.start_s and "recorded" in pattern.description
    comparison = next(compare_autoscalers(WORLD, [pattern]))
    for (
        scaler,
        rival,
    ) in comparison.rivals.items():  # one that sees what KEDA does not may be cheaper, see the docs
        assert "unacked" in scaler or rival is None or rival.worker_minutes > comparison.ours.worker_minutes


def test_a_recording_is_run_and_drawn() -> None:
    pattern = recorded_pattern([1000.0 + k / 4 for k in range(400)])
    assert pattern.arrivals[0] == 0.0
    comparisons = list(compare_autoscalers(WORLD, [pattern]))
    picture = draw(comparisons)
    assert picture.startswith("<svg") and picture.count("<polyline") == 4
    assert "400 recorded arrivals" in picture
