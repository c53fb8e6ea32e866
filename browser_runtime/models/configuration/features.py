"""From preprocessor_config.json to the log-mel features that a Whisper hears.

Source: transformers 5.24, models/whisper/feature_extraction_whisper.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from browser_runtime.models.configuration.fields import ANYTHING, FLAG, Rule, is_whole, only, whole
from browser_runtime.models.configuration.preprocessors import as_fields

RATE_HZ = 16_000
# What Whisper's own config.json files say, for one that does not.
MEL_BINS = 80
SOURCE_POSITIONS = 1500
# Two frames for each position: the encoder's second convolution has stride two.
FRAMES_A_POSITION = 2
MAX_CHUNK_S = 60

RULES = {
    "feature_extractor_type": only("WhisperFeatureExtractor"),
    "feature_size": whole(256),
    "sampling_rate": only(RATE_HZ, why="sounds come with 16000 samples a second here"),
    "hop_length": whole(4096, 16),
    "n_fft": Rule("an even number from 16 to 4096", lambda n: is_whole(n, 4096, 16) and n % 2 == 0),
    "chunk_length": whole(MAX_CHUNK_S),
    "padding_value": only(0, why="sounds are padded with silence here"),
    "padding_side": only("right"),
    "dither": only(0, why="noise would make answers differ"),
    "return_attention_mask": Rule("true or false: Whisper's encoder takes no mask", FLAG.accepts),
    "do_normalize": Rule("true or false: transformers' extractor does not read it", FLAG.accepts),
    # What transformers works out anew from the keys above.
    **dict.fromkeys(("n_samples", "nb_max_frames", "mel_filters", "num_mel_bins"), ANYTHING),
    **dict.fromkeys(("processor_class", "_processor_class", "image_processor_type"), ANYTHING),
    **dict.fromkeys(("transformers_version", "return_tensors"), ANYTHING),
}


@dataclass(frozen=True, slots=True)
class MelPlan:
    """The sizes of a feature extractor."""

    rate_hz: int = RATE_HZ
    window: int = 400
    """Samples of a Fourier transform."""
    hop: int = 160
    """Samples from one frame to the next."""
    n_mels: int = MEL_BINS
    chunk_s: int = 30

    @property
    def n_samples(self) -> int:
        """Samples of one window of the model."""
        return self.rate_hz * self.chunk_s

    @property
    def n_frames(self) -> int:
        """Frames of one window of the model."""
        return self.n_samples // self.hop

    @classmethod
    def of(cls, preprocessor: Any, config: Mapping[str, Any]) -> Self:
        """The sizes in the two files; Whisper's own where they name none. Raises BadInput."""
        fields = as_fields(preprocessor)
        fields.hold_to(RULES, "WhisperFeatureExtractor")
        plan = cls(
            window=fields.get("n_fft", 400),
            hop=fields.get("hop_length", 160),
            n_mels=fields.get("feature_size", MEL_BINS),
            chunk_s=fields.get("chunk_length", 30),
        )
        bins = config.get("num_mel_bins") or MEL_BINS
        if plan.n_mels != bins:
            raise fields.refusal("feature_size", f"{bins}, as num_mel_bins of config.json has it")
        frames = (config.get("max_source_positions") or SOURCE_POSITIONS) * FRAMES_A_POSITION
        if plan.n_frames != frames:
            wanted = (
                f"such that a window has the {frames} frames that config.json's max_source_positions ask for"
            )
            raise fields.refusal("chunk_length", wanted)
        return plan

    @property
    def seconds_a_position(self) -> float:
        """Seconds of sound in a position of the encoder, which is what a time stamp counts."""
        return self.hop * FRAMES_A_POSITION / self.rate_hz

    def to_page(self) -> dict[str, int]:
        """Under the names of transformers' feature extractor."""
        return {
            "sampling_rate": self.rate_hz,
            "n_fft": self.window,
            "hop_length": self.hop,
            "feature_size": self.n_mels,
            "chunk_length": self.chunk_s,
            "n_samples": self.n_samples,
            "nb_max_frames": self.n_frames,
        }
