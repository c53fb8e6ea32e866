"""Sounds to texts with Whisper, as `page/families/audio.js` does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from browser_runtime.errors import BadInput
from browser_runtime.models.manifest import StoredModel
from browser_runtime.models.traits import read_json
from browser_runtime.simulation.decoding import Decoder, DecodingPlan
from browser_runtime.simulation.graphs import Array, open_graphs, require_finite
from browser_runtime.simulation.mels import MelPlan, compute_features
from browser_runtime.vocabulary import Precision


@dataclass(frozen=True)
class Heard:
    """A sound's features by part of 30 s, and how long it is."""

    features: list[Array]
    duration_s: float


class Transcriber:
    """A Whisper: log-mel features, encoder, greedy decoder, tokenizer."""

    def __init__(self, model: StoredModel, precision: Precision) -> None:
        from tokenizers import Tokenizer

        graphs = open_graphs(model, precision)
        config = read_json(model.folder / "config.json")
        generation = read_json(model.folder / "generation_config.json")
        self._mels = MelPlan.of(read_json(model.folder / "preprocessor_config.json"))
        self._encoder = graphs["encoder_model"]
        self._plan = DecodingPlan.of(config, generation)
        self._decoder = Decoder(graphs["decoder_model_merged"], config)
        self._tokenizer = Tokenizer.from_file(str(model.folder / "tokenizer.json"))

    def prepare(self, sound: Any, field: str, options: dict[str, Any]) -> Heard:
        """The features of each 30 s of the sound. Raises BadInput for what is no sound or has odd samples."""
        self._plan.prompt(options)
        if (
            not isinstance(sound, np.ndarray)
            or sound.dtype != np.float32
            or sound.ndim != 1
            or not sound.size
        ):
            shape = getattr(sound, "shape", type(sound).__name__)
            raise BadInput(field, f"of shape {shape}", "an array of floats [samples], mono at 16 kHz")
        if not np.isfinite(sound).all():
            raise BadInput(field, "holding NaN or infinite samples", "an array of finite floats")
        parts = range(0, len(sound), self._mels.n_samples)
        features = [
            compute_features(sound[start : start + self._mels.n_samples], self._mels) for start in parts
        ]
        return Heard(features, len(sound) / self._mels.rate_hz)

    def compute(self, heard: Heard, options: dict[str, Any]) -> list[list[int]]:
        """The token ids of each part."""
        return [self._decode(part, options) for part in heard.features]

    def _decode(self, features: Array, options: dict[str, Any]) -> list[int]:
        hidden = self._encoder.run({"input_features": features[None]})["last_hidden_state"]
        return self._decoder.decode(require_finite(hidden, "encoder state"), self._plan, options)

    def finish(self, heard: Heard, tokens: list[list[int]], options: dict[str, Any]) -> dict[str, Any]:
        """The text of all parts."""
        texts = [self._tokenizer.decode(part, skip_special_tokens=True) for part in tokens]
        whole = [token for part in tokens for token in part]
        return {"text": "".join(texts).strip(), "tokens": whole, "duration_s": heard.duration_s}
