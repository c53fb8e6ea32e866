"""The laboratory's statistics on distributions whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from webinfer.bench.laboratory.estimates import (
    LEAST_BLOCKS,
    SequentialRatio,
    p_value,
    percentile,
    ratio_interval,
    spread,
    unpaired_interval,
)

Noise = Callable[[np.random.Generator, int], np.ndarray]
NOISES: dict[str, Noise] = {
    "normal": lambda chance, n: chance.standard_normal(n),
    "heavy tails": lambda chance, n: chance.standard_t(5, n) * math.sqrt(3 / 5),
    "skewed": lambda chance, n: (chance.gamma(6, 1, n) - 6) / math.sqrt(6),
}
ROUNDS = 500


def test_an_interval_is_scipy_s() -> None:
    logs = list(np.random.default_rng(3).normal(0.05, 0.02, 9))
    found = ratio_interval(logs)
    right = stats.ttest_1samp(logs, 0).confidence_interval(0.95)
    assert (math.log(found.low), math.log(found.high)) == pytest.approx(tuple(right))
    assert p_value(logs) == pytest.approx(stats.ttest_1samp(logs, 0).pvalue)


def test_an_unpaired_interval_is_scipy_s() -> None:
    chance = np.random.default_rng(4)
    before, after = list(chance.normal(1, 0.05, 6)), list(chance.normal(1.1, 0.02, 8))
    found = unpaired_interval(before, after)
    right = stats.ttest_ind(after, before, equal_var=False).confidence_interval(0.95)
    assert (math.log(found.low), math.log(found.high)) == pytest.approx(tuple(right))


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("blocks_needed", [2, 8, 20])
def test_intervals_hold_the_truth_although_one_stops_by_them(noise: str, blocks_needed: int) -> None:
    """95 of 100, less what chance may take in this many rounds; whatever noise and width asked for."""
    chance, truth, sd = np.random.default_rng(blocks_needed), math.log(1.07), 0.04
    within = math.expm1(2 * sd / math.sqrt(blocks_needed))
    held = 0
    for _ in range(ROUNDS):
        ratio = SequentialRatio(within)
        for value in NOISES[noise](chance, 40):
            ratio.add(truth + sd * value)
            if ratio.is_narrow:
                break
        held += ratio.interval.low <= 1.07 <= ratio.interval.high
    assert held / ROUNDS > 0.95 - 2.5 * math.sqrt(0.95 * 0.05 / ROUNDS)


def test_variance_between_starts_is_in_the_interval_and_that_of_runs_alone_would_not_do() -> None:
    """Each session has a level of its own; runs within it agree. Taken over runs, intervals lie."""
    chance, held, held_by_runs = np.random.default_rng(11), 0, 0
    for _ in range(400):
        blocks, runs = [], []
        for _ in range(6):
            level = chance.normal(0, 0.03)
            own = level + chance.normal(0, 0.01, 20)
            blocks.append(float(np.median(own)))
            runs += list(own)
        held += not ratio_interval(blocks).differs
        held_by_runs += not ratio_interval(runs).differs
    assert held / 400 > 0.925
    assert held_by_runs / 400 < 0.5


def test_it_goes_on_until_enough_blocks_are_there() -> None:
    ratio = SequentialRatio(0.03)
    for _ in range(LEAST_BLOCKS - 1):
        ratio.add(0.0)
        assert not ratio.is_narrow
    ratio.add(0.0)
    assert ratio.is_narrow
    assert math.isinf(ratio_interval([]).high) and math.isinf(ratio_interval([0.1]).high)


def test_percentiles_are_values_that_were_measured_and_none_where_too_few_are_there() -> None:
    values = [float(n) for n in range(1, 1001)]
    shares = {0.5: 500.0, 0.9: 900.0, 0.95: 950.0, 0.99: 990.0, 0.999: 999.0}
    assert {share: percentile(values, share) for share in shares} == shares
    assert percentile(values[:999], 0.999) is None
    assert percentile(values[:100], 0.99) == 99.0


def test_a_spread_has_numpy_s_quartiles() -> None:
    values = list(np.random.default_rng(5).normal(10, 1, 13))
    found = spread(values)
    assert (found.low, found.median, found.high) == pytest.approx(tuple(np.percentile(values, [25, 50, 75])))
    assert spread([4.0]).high == 4.0
