"""Replays of recorded noise."""

from __future__ import annotations

import numpy as np
import pytest

from webinfer.bench.noises import BLOCK, CV, NOISES, draw, recorded_deviations, replayed


def test_a_replay_resembles_its_recording() -> None:
    known = recorded_deviations()
    assert len(known) > 200
    drawn = np.log(draw(replayed(None), np.random.default_rng(1), 300, 720) / 100)
    rest = known - known.mean()
    r = (rest[1:] * rest[:-1]).sum() / (rest**2).sum()
    flat = drawn - drawn.mean()
    again = (flat[:, 1:] * flat[:, :-1]).sum() / (flat**2).sum()
    # A block's end knows nothing of the next one's beginning.
    assert again == pytest.approx(r * (1 - 1 / BLOCK), abs=0.05)
    assert drawn.std() == pytest.approx(known.std(), rel=0.1)


def test_a_replay_can_be_scaled() -> None:
    drawn = replayed(CV)(np.random.default_rng(2), 200, 200)
    assert drawn.shape == (200, 200) and drawn.std() == pytest.approx(CV, rel=0.15)


def test_every_noise_has_series_of_the_length_that_is_asked_for() -> None:
    rng = np.random.default_rng(3)
    assert {noise(rng, 3, 50).shape for noise in NOISES.values()} == {(3, 50)}
