"""The step of whitened samples beside NumPy's own least squares, and what sums tell of neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from scheduler.regression.correlation import FAR, likely_correlations, resemblance_of, two_groups
from tests.unit.regression.synthetic import correlated_noise


@pytest.mark.parametrize("r", [0.0, 0.4, 0.8, 0.95])
def test_a_step_is_that_of_least_squares_after_whitening(r: float) -> None:
    values = np.log(correlated_noise(1, 60, 0.6, seed=1)[0])
    values -= values[0]
    n = 40
    design = np.column_stack([np.ones(60), np.arange(60) >= n]).astype(float)
    # Prais and Winsten: the first sample is kept, scaled to the same variance.
    whiten = np.eye(60) - r * np.eye(60, k=-1)
    whiten[0, 0] = np.sqrt(1 - r * r)
    found, rest, *_ = np.linalg.lstsq(whiten @ design, whiten @ values, rcond=None)
    covariance = np.linalg.inv(design.T @ whiten.T @ whiten @ design) * rest[0] / 58
    difference, error = two_groups(values[:n], values[n:]).step(r)
    assert difference == pytest.approx(found[1], rel=1e-9)
    assert error == pytest.approx(np.sqrt(covariance[1, 1]), rel=1e-6)


def test_sums_tell_how_much_neighbours_resemble_each_other() -> None:
    values = np.log(correlated_noise(1, 80, 0.7, seed=2)[0])
    left, right = values[:50], values[50:] + 0.1
    rest = np.concatenate([left - left.mean(), right - right.mean()])
    found = two_groups(left, right).resemblance
    assert found.products == pytest.approx((rest[1:] * rest[:-1]).sum())
    assert found.squares == pytest.approx((rest**2).sum())
    assert found.far == pytest.approx((rest[FAR:] * rest[:-FAR]).sum())
    alone = left - left.mean()
    ends, products = left[0] + left[-1], (left[1:] * left[:-1]).sum()
    far, far_ends = (left[FAR:] * left[:-FAR]).sum(), left[:FAR].sum() + left[-FAR:].sum()
    one = resemblance_of(50.0, left.sum(), (left**2).sum(), products, ends, far, far_ends)
    assert one.products == pytest.approx((alone[1:] * alone[:-1]).sum())
    assert one.far == pytest.approx((alone[FAR:] * alone[:-FAR]).sum())
    assert (one + found).n == 130


def test_more_samples_know_the_correlation_better() -> None:
    values = correlated_noise(1, 4000, 0.6, seed=3)[0]
    few, many = (two_groups(values[:n], values[n : 2 * n]).resemblance for n in (60, 2000))
    assert many.r == pytest.approx(0.6, abs=0.05)
    assert np.ptp(likely_correlations(many.r, many.n)) < np.ptp(likely_correlations(few.r, few.n)) / 3


@pytest.mark.parametrize(("lasting", "share"), [(0.95, 0.5), (0.9, 0.7)])
def test_noise_that_lasts_is_known_although_neighbours_resemble_each_other_little(
    lasting: float, share: float
) -> None:
    """A part of it is independent: neighbours resemble each other like noise that is soon forgotten."""
    n = 40_000
    slow = np.log(correlated_noise(1, n, lasting, seed=4)[0]) - np.log(100)
    rest = 0.03 * np.random.default_rng(14).standard_normal(n)
    values = np.sqrt(share) * slow + np.sqrt(1 - share) * rest
    found = two_groups(values[: n // 2], values[n // 2 :]).resemblance
    assert found.near == pytest.approx(share * lasting, abs=0.03)
    # Of autoregressive noise with the same resemblance at FAR.
    assert found.r == pytest.approx((share * lasting**FAR) ** (1 / FAR), abs=0.03)


@pytest.mark.parametrize(("r", "most"), [(0.0, 0.02), (0.5, 0.15), (0.8, 0.15)])
def test_autoregressive_noise_is_seldom_taken_for_one_that_lasts(r: float, most: float) -> None:
    series = np.log(correlated_noise(400, 120, r, seed=5))
    noises = [two_groups(row[:100], row[100:]).resemblance for row in series]
    assert np.mean([noise.r > noise.near for noise in noises]) < most
