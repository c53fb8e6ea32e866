"""What `webinfer bench regression` measures, on noise with the correlation of recordings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from scheduler.regression.energy import Floats
from webinfer.bench.noises import CV, RECORDINGS, Noise, normal, recorded_deviations, replayed, steady
from webinfer.bench.regression import MULTIPLES, Visible, measure_visible


@pytest.mark.parametrize("name", RECORDINGS)
@pytest.mark.parametrize("kind", [replayed, steady])
def test_the_smallest_visible_change_is_true_to_within_a_fifth_in_recorded_noise(
    name: str, kind: Callable[[Floats, float], Noise]
) -> None:
    noise = kind(recorded_deviations(RECORDINGS[name]), CV)
    visible = measure_visible(name, noise, 50, np.random.default_rng(3))
    assert visible.n_told >= 45
    assert visible.is_true, visible


def test_what_is_told_of_noise_that_nothing_is_found_in_is_not_called_true() -> None:
    def deafening(rng: np.random.Generator, n_series: int, n: int) -> Floats:
        """Normal before, so that little is told; then so much that no step is seen."""
        found = normal(rng, n_series, n)
        found[:, 120:] += rng.uniform(-0.5, 0.5, (n_series, n - 120))
        return found

    visible = measure_visible("deafening", deafening, 50, np.random.default_rng(2))
    assert visible.told is not None
    assert not visible.is_true
    assert not Visible("none", 120, 50, 0, None, None).is_true
    assert MULTIPLES[0] < 1 / 1.2 < 1.2 < MULTIPLES[-1]
