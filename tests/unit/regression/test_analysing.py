"""What is told of a change: how bad, why, and of which series nothing can be told."""

from __future__ import annotations

import json

import numpy as np
import pytest

from scheduler.regression.analysing import analyse
from scheduler.regression.findings import DetectedChange, unreported
from scheduler.regression.metrics import METRICS
from tests.unit.regression.synthetic import HOUR_S, line, noisy
from webinfer.bench.noises import CV, RECORDINGS, draw, recorded_deviations, replayed


@pytest.mark.parametrize(
    ("metric", "ratio", "severity", "direction"),
    [
        ("latency", 1.10, "low", "regression"),
        ("latency", 1.25, "medium", "regression"),
        ("latency", 1.45, "high", "regression"),
        ("latency", 0.60, "none", "improvement"),
        ("throughput", 0.90, "low", "regression"),
        ("throughput", 0.80, "medium", "regression"),
        ("throughput", 0.65, "high", "regression"),
        ("throughput", 1.50, "none", "improvement"),
        ("memory", 1.15, "low", "regression"),
        ("memory", 1.35, "medium", "regression"),
        ("memory", 1.65, "high", "regression"),
        ("memory", 0.50, "none", "improvement"),
    ],
)
def test_severity_and_direction(metric: str, ratio: float, severity: str, direction: str) -> None:
    values = noisy(1, 120, seed=1)[0]
    values[80:] *= ratio
    [change] = analyse([line(values, metric=metric)], HOUR_S).changes
    assert (change.metric, change.severity, change.direction) == (metric, severity, direction)
    assert change.effect == pytest.approx(ratio - 1, abs=0.03)
    assert change.after / change.before == pytest.approx(1 + change.effect)
    assert change.changed_at == pytest.approx(80 * HOUR_S, abs=HOUR_S)
    assert change.smallest_visible is not None
    assert change.smallest_visible < 0.10
    assert (change.cause, change.note) == ("", "")


@pytest.mark.parametrize(
    ("effect", "severity"), [(0.199, "low"), (0.2, "medium"), (0.349, "medium"), (0.35, "high")]
)
def test_thresholds_of_latency(effect: float, severity: str) -> None:
    assert METRICS["latency"].severity(effect) == severity


def test_a_change_that_came_with_a_browser_update_is_named_so() -> None:
    values = noisy(2, 60, seed=2)
    old = line(values[0], build="156.0")
    new = line(values[1] * 1.3, build="157.0", start_s=60 * HOUR_S)
    [change] = analyse([new, old], HOUR_S).changes
    assert change.cause == "browser_build 156.0 -> 157.0"
    assert change.changed_at == 60 * HOUR_S
    assert change.severity == "medium"


def test_an_update_that_changed_nothing_is_no_change_and_no_baseline() -> None:
    values = noisy(2, 60, seed=3)
    values[1, 30:] *= 1.3
    found = analyse([line(values[0]), line(values[1], build="157.0", start_s=60 * HOUR_S)], HOUR_S)
    [change] = found.changes
    assert change.cause == ""
    assert change.n_before == pytest.approx(30, abs=2)


def test_the_environment_before_counts_with_its_last_level_only() -> None:
    values = noisy(2, 60, seed=4)
    values[0, 30:] *= 1.3
    found = analyse([line(values[0]), line(values[1] * 1.3, build="157.0", start_s=60 * HOUR_S)], HOUR_S)
    assert [change.cause for change in found.changes] == [""]


def test_other_series_are_no_baseline() -> None:
    values = noisy(2, 60, seed=5)
    lines = [line(values[0], model="a"), line(values[1] * 2, model="b", build="157.0", start_s=60 * HOUR_S)]
    assert analyse(lines, HOUR_S).changes == []


def test_two_modes_in_turn_are_named() -> None:
    rng = np.random.default_rng(6)
    values = noisy(1, 120, seed=6)[0] * rng.choice([1.0, 1.4], 120)
    found = analyse([line(values)], HOUR_S)
    assert [state.shape for state in found.states if state.metric == "latency"] == ["bimodal"]
    assert found.changes == []


def test_a_series_that_goes_to_and_fro_is_news_twice_and_then_bimodal() -> None:
    values = noisy(1, 240, seed=7)[0]
    for start in range(40, 240, 80):
        values[start : start + 40] *= 1.4
    found = analyse([line(values)], HOUR_S)
    assert [bool(change.note) for change in found.changes] == [False, False, True, True, True]
    assert all(change.severity in ("none", "low") for change in found.changes[2:])
    assert next(state.shape for state in found.states if state.metric == "latency") == "bimodal"


@pytest.mark.parametrize(
    ("cv", "n", "shape"), [(0.03, 120, "steady"), (0.25, 120, "unstable"), (0.03, 10, "short")]
)
def test_how_well_a_series_can_be_watched(cv: float, n: int, shape: str) -> None:
    state = analyse([line(noisy(1, n, seed=8, cv=cv)[0])], HOUR_S).states[0]
    assert (state.metric, state.shape, state.n_samples) == ("latency", shape, n)
    assert (state.smallest_visible is None) == (shape == "short")


def test_quick_samples_need_more_evidence() -> None:
    values = noisy(1, 120, seed=9)[0]
    slow, quick = (analyse([line(values)], sample_s).states[0].smallest_visible for sample_s in (3600, 20))
    assert slow is not None
    assert quick is not None
    assert quick > slow


def test_a_change_is_reported_once() -> None:
    values = noisy(1, 120, seed=10)[0]
    values[80:] *= 1.3
    changes = analyse([line(values)], HOUR_S).changes
    assert unreported(changes + changes, []) == changes
    known = [row(changes[0])]
    assert unreported(changes, known) == []
    for moved, fresh in ((5 * HOUR_S, 0), (6 * HOUR_S, 1), (-6 * HOUR_S, 1)):
        assert len(unreported(changes, [known[0] | {"changed_at": changes[0].changed_at + moved}])) == fresh
    assert unreported(changes, [known[0] | {"direction": "improvement"}]) == changes
    assert unreported(changes, [known[0] | {"series": '{"model": "other"}'}]) == changes


def row(change: DetectedChange) -> dict[str, object]:
    """As the history gives it back."""
    return {
        "series": json.dumps(json.loads(change.series)),
        "metric": change.metric,
        "changed_at": change.changed_at,
        "direction": change.direction,
        "sample_s": change.sample_s,
    }


def test_what_several_models_have_at_the_same_time_is_the_machines() -> None:
    values = noisy(4, 120, seed=6)
    values[:3, 80:] *= 1.4
    values[3, 20:] *= 1.4
    lines = [line(row, model=model) for row, model in zip(values, ("a", "b", "c", "d"), strict=True)]
    notes = {json.loads(change.series)["model"]: change.note for change in analyse(lines, HOUR_S).changes}
    shared = "2 of 3 other models changed alike at the same time: look at the machine"
    assert notes == {"a": shared, "b": shared, "c": shared, "d": ""}


def test_the_same_model_elsewhere_or_the_other_way_is_no_company() -> None:
    values = noisy(3, 120, seed=7)
    values[:2, 80:] *= 1.4
    values[2, 80:] /= 1.4
    lines = [line(values[0], model="a"), line(values[1], model="a"), line(values[2], model="b")]
    assert [change.note for change in analyse(lines, HOUR_S).changes] == ["", "", ""]


def test_steps_of_a_busy_machine_are_told_as_such() -> None:
    """Two models beside a recorded load: what it does to both is not taken for either's own."""
    rng = np.random.default_rng(8)
    known = recorded_deviations(RECORDINGS["a machine busy by turns"])
    machine = draw(replayed(known, CV), rng, 10, 720)
    n_changes = n_noted = 0
    for load in machine:
        both = load * (1 + 0.01 * rng.standard_normal((2, 720)))
        found = analyse([line(row, model=name) for row, name in zip(both, "ab", strict=True)], HOUR_S).changes
        n_changes += len(found)
        n_noted += sum("look at the machine" in change.note for change in found)
    assert n_changes > 10 and n_noted / n_changes > 0.9, (n_changes, n_noted)
