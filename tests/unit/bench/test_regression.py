"""What `webinfer bench regression` measures, on noise with the correlation of recordings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from scheduler.regression.energy import Floats
from webinfer.bench.noises import CV, RECORDINGS, Noise, normal, recorded_deviations, replayed, steady
from webinfer.bench.regression import Visible, measure_visible


@pytest.mark.parametrize("name", RECORDINGS)
@pytest.mark.parametrize("kind", [replayed, steady])
def test_the_smallest_visible_change_is_true_to_within_a_fifth_in_recorded_noise(
    name: str, kind: Callable[[Floats, float], Noise]
) -> None:
    noise = kind(recorded_deviations(RECORDINGS[name]), CV)
    visible = measure_visible(name, noise, 100, np.random.default_rng(1))
    assert visible.n_told >= 90
    smaller, _, larger = visible.shares
    # Of a hundred series; docs/regression.md has the shares of four hundred.
    assert smaller < 0.95 <= larger + 0.03, visible


def test_what_is_told_of_noise_that_nothing_is_found_in_is_not_called_true() -> None:
    def deafening(rng: np.random.Generator, n_series: int, n: int) -> Floats:
        """Normal before, so that little is told; then so much that no step is seen."""
        found = normal(rng, n_series, n)
        found[:, 120:] += rng.uniform(-0.5, 0.5, (n_series, n - 120))
        return found

    visible = measure_visible("deafening", deafening, 50, np.random.default_rng(2))
    assert visible.told is not None
    assert not visible.is_true
    assert not Visible("nothing told", 120, 50, 0, None, (0.0, 0.0, 0.0)).is_true
    assert not Visible("told too large", 120, 50, 50, 0.2, (0.96, 1.0, 1.0)).is_true
