"""Whisper's features: transformers' values by several extractors; what is refused, by name."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from browser_runtime.contract.errors import BadInput
from browser_runtime.models.configuration.features import MelPlan
from browser_runtime.simulation.mels import compute_features

# Made by transformers itself: tests/page/fixtures/make_whisper_values.py.
STORED = json.loads((Path(__file__).parents[2] / "page/fixtures/whisper_values.json").read_text())
SOUND = np.frombuffer(base64.b64decode(STORED["sound"]), np.float32)


@pytest.mark.parametrize("case", STORED["features"], ids=lambda case: str(case["preprocessor"]))
def test_features_are_those_of_transformers(case: dict[str, Any]) -> None:
    plan = MelPlan.of(case["preprocessor"], case["config"])
    assert plan.to_page() == case["told"]
    found = compute_features(SOUND, plan)
    assert found.shape == (plan.n_mels, plan.n_frames)
    # transformers computes in float32, in torch; it promises 1e-5 between its own two ways.
    np.testing.assert_allclose(found.ravel()[:: STORED["stride"]], case["values"], atol=5e-5)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (
            {"feature_extractor_type": "Wav2Vec2FeatureExtractor"},
            "feature_extractor_type .* 'WhisperFeatureExtractor'",
        ),
        (
            {"feature_size": 128},
            "feature_size of .* is 128, but must be 80, as num_mel_bins of config.json has it",
        ),
        ({"sampling_rate": 8000}, "sampling_rate .* is 8000, but must be left out or 16000"),
        ({"chunk_length": 10}, "chunk_length .* is 10, but must be such that a window has the 3000 frames"),
        ({"hop_length": 80}, "such that a window has the 3000 frames"),
        ({"n_fft": 401}, "n_fft .* is 401, but must be an even number"),
        ({"dither": 0.1}, "dither .* is 0.1, but must be left out or 0: noise"),
        ({"padding_value": 1.0}, "padding_value"),
        ({"padding_side": "left"}, "padding_side"),
        (
            {"do_ceps": True},
            "do_ceps of preprocessor_config.json is True, but must be left out: it is not understood",
        ),
    ],
)
def test_what_is_not_done_is_refused_by_name(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        MelPlan.of(keys, {})
