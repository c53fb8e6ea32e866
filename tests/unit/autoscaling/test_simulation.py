"""The decision over simulated time, against its rivals."""

from __future__ import annotations

import pytest

from scheduler.autoscaling.comparison import hold_contests
from scheduler.autoscaling.drawing import draw
from scheduler.autoscaling.patterns import SYNTHETIC, Pattern, draw_pattern, recorded_pattern
from scheduler.autoscaling.recordings import load_recording, recording_names
from scheduler.autoscaling.rivals import KedaScaler, OurScaler, ThresholdScaler
from scheduler.autoscaling.simulation import Course, Sight, Simulation, World

WORLD = World()
# Two hours, and an hour of chance.
MOST_REVERSALS = {"daily": 10, "bursts": 10}


def run(pattern: Pattern, world: World = WORLD) -> Course:
    return Simulation(pattern.arrivals, OurScaler(world), world).run(pattern.duration_s)


@pytest.mark.parametrize("name", SYNTHETIC)
@pytest.mark.parametrize("seed", [3, 11])
def test_every_request_is_answered_and_workers_hardly_come_and_go(name: str, seed: int) -> None:
    pattern = draw_pattern(name, seed)
    course = run(pattern)
    assert len(course.latencies_s) == len(pattern.arrivals)
    assert course.n_reversals() <= MOST_REVERSALS.get(name, 4)
    assert max(n for _, n in course.counts) <= WORLD.most


@pytest.mark.parametrize("name", ["steady", "step", "flapping"])
def test_less_worker_time_at_the_same_p95(name: str) -> None:
    """The rivals take the setting that suits the pattern best; ours is always the same."""
    contest = next(hold_contests(WORLD, [draw_pattern(name)]))
    assert set(contest.rivals) == {"threshold rule", "KEDA's formula", "KEDA's formula with unacked"}
    for rival in contest.rivals.values():
        assert rival is None or rival.worker_minutes > contest.ours.worker_minutes


def test_a_lasting_step_is_held_and_then_given_back() -> None:
    course = run(draw_pattern("step"))
    assert min(n for at, n in course.counts if 360 < at < 900) >= 4
    assert course.counts[-1][1] <= 2


def test_nobody_comes_and_one_worker_stays() -> None:
    course = run(Pattern("empty", "", 1200, ()))
    assert {n for _, n in course.counts} == {1}
    assert course.worker_minutes == pytest.approx(20, abs=0.2)


def test_the_simulation_itself_costs_and_waits_as_computed_by_hand() -> None:
    """One worker, three requests at once, half a second each."""

    class One:
        def target(self, sight: Sight) -> int:
            return 1

    world = World(service_cv=0.0)
    course = Simulation((1.0, 1.0, 1.0), One(), world).run(10.0)
    assert course.latencies_s == pytest.approx([0.5, 1.0, 1.5])
    assert course.worker_s == 10.0


def sight(**more: float) -> Sight:
    values = {"now": 100.0, "n_ready": 2, "n_starting": 0, "listed": 0, "in_flight": 0}
    values |= {"n_arrived": 0, "n_answered": 0, "mean_busy": 1.0}
    return Sight(**(values | more))  # type: ignore[arg-type]


def test_kedas_formula_as_documented() -> None:
    assert KedaScaler(5).target(sight(listed=11)) == 3
    assert KedaScaler(5).target(sight(listed=10)) == 2  # within its tolerance of a tenth
    assert KedaScaler(5).target(sight(listed=500)) == 6  # at most double, or four more
    assert KedaScaler(5).target(sight(in_flight=80)) == 1  # blind to what is taken
    assert KedaScaler(5, sees_unacked=True).target(sight(in_flight=80)) == 6


def test_the_threshold_rule() -> None:
    assert ThresholdScaler().target(sight(listed=5)) == 3
    assert ThresholdScaler().target(sight(mean_busy=0.2)) == 1
    assert ThresholdScaler().target(sight()) == 2


@pytest.mark.parametrize("name", recording_names())
def test_less_worker_time_at_the_same_p95_in_a_recording(name: str) -> None:
    pattern = load_recording(name)
    assert pattern.service_s and pattern.start_s and "recorded" in pattern.told
    contest = next(hold_contests(WORLD, [pattern]))
    for (
        scaler,
        rival,
    ) in contest.rivals.items():  # one that sees what KEDA does not may be cheaper, see the docs
        assert "unacked" in scaler or rival is None or rival.worker_minutes > contest.ours.worker_minutes


def test_a_recording_is_run_and_drawn() -> None:
    pattern = recorded_pattern([1000.0 + k / 4 for k in range(400)])
    assert pattern.arrivals[0] == 0.0
    contests = list(hold_contests(WORLD, [pattern]))
    picture = draw(contests)
    assert picture.startswith("<svg") and picture.count("<polyline") == 4
    assert "400 recorded arrivals" in picture
