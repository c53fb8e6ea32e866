"""What a CLAP's preprocessor_config.json may ask for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from browser_runtime.contract.errors import BadInput
from browser_runtime.models.configuration.sound_features import SoundPlan

# Of laion/clap-htsat-unfused.
PUBLISHED = {
    "chunk_length_s": 10,
    "feature_extractor_type": "ClapFeatureExtractor",
    "feature_size": 64,
    "fft_window_size": 1024,
    "frequency_max": 14000,
    "frequency_min": 50,
    "hop_length": 480,
    "max_length_s": 10,
    "n_fft": 1024,
    "nb_frequency_bins": 513,
    "nb_max_frames": 1000,
    "nb_max_samples": 480000,
    "padding": "repeatpad",
    "padding_side": "right",
    "padding_value": 0.0,
    "processor_class": "ClapProcessor",
    "return_attention_mask": False,
    "sampling_rate": 48000,
    "top_db": None,
    "truncation": "rand_trunc",
}


def test_the_published_file_gives_its_sizes() -> None:
    plan = SoundPlan.of(PUBLISHED, {"audio_config": {"num_mel_bins": 64, "enable_fusion": False}})
    assert (plan.n_samples, plan.n_frames, plan.n_mels, plan.low_hz) == (480_000, 1001, 64, 50)


def test_a_longer_sound_is_cut_at_both_ends_alike() -> None:
    plan = SoundPlan.of({"truncation": "rand_trunc", "max_length_s": 1, "sampling_rate": 48000}, {})
    samples = np.arange(48_005, dtype=np.float32)
    np.testing.assert_array_equal(plan.cut(samples), samples[2:48_002])
    np.testing.assert_array_equal(plan.cut(samples[:7]), samples[:7])


@pytest.mark.parametrize(
    ("keys", "config", "words"),
    [
        ({"truncation": "fusion"}, {}, "truncation of preprocessor_config.json is 'fusion', .* fusion"),
        ({"truncation": None}, {}, "truncation of preprocessor_config.json is missing, .* fusion"),
        ({}, {"audio_config": {"enable_fusion": True}}, "enable_fusion of audio_config of config.json is on"),
        ({}, {"audio_config": {"num_mel_bins": 128}}, "feature_size of .* is 64, but must be 128"),
        ({"sampling_rate": 96_000}, {}, "sampling_rate of .* is 96000"),
        ({"frequency_max": 30_000}, {}, "frequency_max of .* at most 24000"),
        ({"frequency_min": 20_000}, {}, "frequency_max of .* is 14000, but must be above frequency_min"),
        ({"padding": "mirror"}, {}, "padding of .* is 'mirror', but must be one of repeatpad, repeat, pad"),
        ({"dither": 0.1}, {}, "dither of .*left out: it is not understood in ClapFeatureExtractor"),
    ],
)
def test_what_is_not_done_is_named(keys: dict[str, Any], config: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        SoundPlan.of(PUBLISHED | keys, config)
