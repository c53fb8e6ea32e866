"""From preprocessor_config.json to the log-mel features that a CLAP hears.

Source: transformers 5.24, models/clap/feature_extraction_clap.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from browser_runtime.contract.errors import BadInput
from browser_runtime.models.configuration.fields import (
    ANYTHING,
    Fields,
    Rule,
    is_number,
    is_whole,
    only,
    whole,
)
from browser_runtime.models.configuration.preprocessors import as_fields
from browser_runtime.models.files.json_files import Json

# The highest that a request carries.
HIGHEST_RATE_HZ = 48_000
MAX_LENGTH_S = 60
FUSION = "the fusion of several crops of a long sound is not done here"
FREQUENCY = Rule("a number of hertz from 0", lambda value: is_number(value) and value >= 0)

RULES = {
    "feature_extractor_type": only("ClapFeatureExtractor"),
    "feature_size": whole(256),
    "sampling_rate": whole(HIGHEST_RATE_HZ, 8000),
    "hop_length": whole(4096, 16),
    "fft_window_size": Rule("an even number from 16 to 4096", lambda n: is_whole(n, 4096, 16) and n % 2 == 0),
    "max_length_s": whole(MAX_LENGTH_S),
    "frequency_min": FREQUENCY,
    "frequency_max": FREQUENCY,
    "truncation": only("rand_trunc", why=FUSION),
    "padding": Rule("one of repeatpad, repeat, pad", lambda value: value in ("repeatpad", "repeat", "pad")),
    # What transformers' extractor keeps and does not read, or works out anew from the keys above.
    **dict.fromkeys(("padding_value", "padding_side", "top_db", "return_attention_mask"), ANYTHING),
    **dict.fromkeys(("nb_max_samples", "nb_max_frames", "nb_frequency_bins", "n_fft"), ANYTHING),
    **dict.fromkeys(("chunk_length_s", "processor_class", "_processor_class"), ANYTHING),
    **dict.fromkeys(("transformers_version", "return_tensors", "mel_filters"), ANYTHING),
}


@dataclass(frozen=True, slots=True)
class SoundPlan:
    """The sizes of a feature extractor, and what is done to sounds of other lengths than its window."""

    rate_hz: int
    window: int
    """Samples of a Fourier transform."""
    hop: int
    n_mels: int
    max_length_s: int
    low_hz: float
    high_hz: float
    padding: str

    @property
    def n_samples(self) -> int:
        """Samples of the model's window."""
        return self.rate_hz * self.max_length_s

    @property
    def n_frames(self) -> int:
        """Frames of the model's window: one more than hops, as the first is centred on its beginning."""
        return self.n_samples // self.hop + 1

    @classmethod
    def of(cls, preprocessor: Any, config: Mapping[str, Any]) -> Self:
        """The sizes in the files; the extractor's defaults where they name none. Raises BadInput."""
        fields = as_fields(preprocessor)
        fields.hold_to(RULES, "ClapFeatureExtractor")
        if fields.get("truncation") is None:  # transformers would take the fusion
            raise fields.refusal("truncation", f"'rand_trunc': {FUSION}")
        plan = cls(
            rate_hz=fields.get("sampling_rate", 48_000),
            window=fields.get("fft_window_size", 1024),
            hop=fields.get("hop_length", 480),
            n_mels=fields.get("feature_size", 64),
            max_length_s=fields.get("max_length_s", 10),
            low_hz=fields.get("frequency_min", 0),
            high_hz=fields.get("frequency_max", 14_000),
            padding=fields.get("padding", "repeatpad"),
        )
        if not plan.low_hz < plan.high_hz <= plan.rate_hz / 2:
            raise fields.refusal("frequency_max", f"above frequency_min, at most {plan.rate_hz / 2:g}")
        plan._check(fields, config.get("audio_config"))
        return plan

    def _check(self, fields: Fields, tower: Any) -> None:
        """Raises BadInput where config.json's audio tower takes other features."""
        inner = Fields("audio_config of config.json", {} if tower is None else tower)
        if inner.get("enable_fusion", False) is not False:
            raise BadInput("enable_fusion of audio_config of config.json", "on", f"false: {FUSION}")
        bins = inner.get("num_mel_bins", 64)
        if bins != self.n_mels:
            raise fields.refusal("feature_size", f"{bins}, the num_mel_bins of config.json's audio_config")

    def cut(self, samples: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The middle of a sound that is longer than the window, where transformers takes a random part."""
        spare = max(len(samples) - self.n_samples, 0)
        return samples[spare // 2 : spare // 2 + self.n_samples]

    def to_page(self) -> Json:
        """Under the names of transformers' feature extractor."""
        return {
            "sampling_rate": self.rate_hz,
            "fft_window_size": self.window,
            "nb_frequency_bins": self.window // 2 + 1,
            "hop_length": self.hop,
            "feature_size": self.n_mels,
            "frequency_min": self.low_hz,
            "frequency_max": self.high_hz,
            "nb_max_samples": self.n_samples,
            "nb_max_frames": self.n_frames,
            "truncation": "rand_trunc",
            "padding": self.padding,
        }
