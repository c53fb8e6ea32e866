"""The promises on series whose truth is known; docs/regression.md has the figures of far more of them."""

from __future__ import annotations

import numpy as np
import pytest

from scheduler.regression.energy import Floats
from scheduler.regression.rules import Rules
from scheduler.regression.scanning import Scan, scan
from scheduler.regression.significance import smallest_visible
from tests.unit.regression.synthetic import correlated_noise, noisy


def scan_values(values: Floats, rules: Rules | None = None) -> list[Scan]:
    return scan(list(np.log(values)), rules or Rules())


def share_found(found: list[Scan], at: int) -> float:
    """Of the series: the one change was found within 20 samples, and placed within two."""
    right = [
        len(one.steps) == 1 and abs(one.steps[0].at - at) <= 2 and one.steps[0].seen_at < at + 20
        for one in found
    ]
    return sum(right) / len(right)


@pytest.mark.parametrize("ratio", [1.1, 0.9])
@pytest.mark.parametrize("at", [30, 200])
def test_a_step_of_a_tenth_is_found_within_twenty_samples(ratio: float, at: int) -> None:
    values = noisy(300, at + 20, seed=at)
    values[:, at:] *= ratio
    assert share_found(scan_values(values), at) >= 0.95


def test_quiet_months_stay_quiet() -> None:
    found = scan_values(noisy(300, 720, seed=3))
    assert sum(bool(one.steps) for one in found) <= 3


def test_single_samples_far_off_are_no_change() -> None:
    values = noisy(100, 720, seed=4)
    values[:, 60::90] *= 3
    assert sum(bool(one.steps) for one in scan_values(values)) <= 1


@pytest.mark.parametrize(("r", "most"), [(0.3, 4), (0.5, 4), (0.65, 5), (0.8, 7)])
def test_neighbours_that_resemble_each_other_are_no_change(r: float, most: int) -> None:
    found = scan_values(correlated_noise(300, 720, r, seed=6))
    # A t-test that took them for independent would find changes in nearly all.
    assert sum(bool(one.steps) for one in found) <= most


def test_up_and_down_again_are_two_changes_and_a_blip_is_none() -> None:
    values = noisy(50, 200, seed=6)
    values[:, 100:140] *= 1.3
    values[:, 60:63] *= 1.3
    for one in scan_values(values):
        assert [step.at for step in one.steps] == pytest.approx([100, 140], abs=2)


def test_a_series_without_noise_shows_its_step_and_nothing_else() -> None:
    values = np.full((2, 60), 8.0)
    values[1, 40:] = 8.4
    flat, stepped = scan_values(values)
    assert flat.steps == []
    assert [(step.at, step.seen_at) for step in stepped.steps] == [(40, 44)]
    assert stepped.since == 40


def test_all_at_once_is_the_same_as_one_sample_after_the_other() -> None:
    values = noisy(4, 150, seed=7)
    values[:2, 70:] *= 1.15
    whole = scan_values(values)
    for end in range(1, 150, 7):
        for row, part in enumerate(scan_values(values[:, :end])):
            assert part.steps == [step for step in whole[row].steps if step.seen_at < end]


def test_a_series_tells_the_same_whatever_it_is_looked_at_with() -> None:
    values = noisy(3, 300, seed=8)
    values[1, 200:] *= 1.2
    series = [np.log(values[0, :40]), np.log(values[1]), np.log(values[2, :0])]
    together = scan(series, Rules())
    assert [one.steps for one in together] == [scan([one], Rules())[0].steps for one in series]
    assert [len(one.steps) for one in together] == [0, 1, 0]


def test_what_it_says_it_could_have_seen_it_sees() -> None:
    rules, at = Rules(), 100
    values = noisy(300, at + 20, seed=9)
    visible = [smallest_visible(row, rules.max_p) for row in np.log(values[:, :at])]
    assert 0.03 < np.median(visible) < 0.10
    values[:, at:] *= 1 + np.median(visible)
    found = scan_values(values)
    assert sum(bool(one.steps) for one in found) / len(found) >= 0.9


@pytest.mark.parametrize("r", [0.0, 0.3, 0.5, 0.65, 0.8])
def test_what_is_told_to_be_visible_is_true_to_within_a_fifth(r: float) -> None:
    rules, at = Rules(), 120
    quiet = correlated_noise(400, at + 20, r, seed=12)
    told = float(np.median([smallest_visible(row, rules.max_p) for row in np.log(quiet[:, :at])]))
    share = {}
    for size in (told / 1.2, told * 1.2):
        values = quiet.copy()
        values[:, at:] *= 1 + size
        found = scan_values(values)
        share[size] = sum(bool(one.steps) and one.steps[0].seen_at >= at for one in found) / len(found)
    assert share[told / 1.2] < 0.95 <= share[told * 1.2] + 0.01


@pytest.mark.parametrize(("r", "least"), [(0.3, 0.98), (0.5, 0.87), (0.8, 0.60)])
def test_a_step_of_a_tenth_is_found_among_samples_that_resemble_each_other(r: float, least: float) -> None:
    values = correlated_noise(500, 140, r, seed=13)
    values[:, 120:] *= 1.1
    assert sum(bool(one.steps) and one.steps[0].seen_at >= 120 for one in scan_values(values)) >= 500 * least


def test_too_few_samples_say_nothing() -> None:
    values = noisy(20, 19, seed=10)
    values[:, 10:] *= 3
    assert not any(one.steps for one in scan_values(values))


@pytest.mark.parametrize("ratio", [0.5, 1.3, 2.0, 5.0])
def test_a_large_step_needs_neither_a_long_baseline_nor_hourly_samples(ratio: float) -> None:
    values = noisy(100, 40, seed=11)
    values[:, 20:] *= ratio
    assert share_found(scan_values(values, Rules().at(20.0)), 20) >= 0.95


@pytest.mark.parametrize("ratio", [0.5, 1.6, 2.3])
def test_a_large_step_waits_for_no_burst_to_fade(ratio: float) -> None:
    values = correlated_noise(100, 90, 0.8, seed=14)
    values[:, 60:] *= ratio
    found = scan_values(values, Rules().at(20.0))
    assert sum(bool(one.steps) and one.steps[-1].seen_at <= 66 for one in found) >= 90
