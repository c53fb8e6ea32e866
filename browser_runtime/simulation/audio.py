"""Sounds to texts with Whisper, as `page/families/audio.js` does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.families.audio import SpeechProcessor
from browser_runtime.families.processor import Options, Output
from browser_runtime.models.manifest import StoredModel
from browser_runtime.simulation.decoding import SpeechDecoder
from browser_runtime.simulation.graphs import Array, open_graphs, require_finite
from browser_runtime.simulation.mels import compute_features
from browser_runtime.simulation.windows import split_windows, window_starts
from browser_runtime.texts.joining import join_tokens


@dataclass(frozen=True)
class Transcript:
    """A sound's features by window, and how long it is."""

    features: list[Array]
    places: list[tuple[float, float]]
    """Where each window begins, and how long it is, in seconds."""
    duration_s: float


class Transcriber:
    """A Whisper: log-mel features, encoder, greedy decoder, tokenizer."""

    def __init__(self, model: StoredModel, processor: SpeechProcessor, precision: Precision) -> None:
        graphs = open_graphs(model, precision)
        self._processor = processor
        self._encoder = graphs["encoder_model"]
        self._decoder = SpeechDecoder(graphs["decoder_model_merged"])

    def prepare(self, sound: Any, field: str, options: Options) -> Transcript:
        """The features of each window of the sound. Raises BadInput naming the field."""
        samples, mels = _read_samples(sound, field), self._processor.mels
        windows = split_windows(samples, mels.n_samples)
        features = [compute_features(window, mels) for window in windows]
        starts = [start / mels.rate_hz for start in window_starts(len(samples), mels.n_samples)]
        lengths = [len(window) / mels.rate_hz for window in windows]
        return Transcript(features, list(zip(starts, lengths, strict=True)), len(samples) / mels.rate_hz)

    def compute(self, heard: Transcript, options: Options) -> list[list[int]]:
        """The token ids of each window of the sound."""
        return [self._decode(features, options) for features in heard.features]

    def _decode(self, features: Array, options: Options) -> list[int]:
        hidden = self._encoder.run({"input_features": features[None]})["last_hidden_state"]
        require_finite(hidden, "encoder state")
        prompt = self._prompt(hidden, options)
        limit, stamps = options["max_new_tokens"], options.get("stamps")
        return self._decoder.decode(hidden, prompt, self._processor.decoding, limit, stamps)

    def _prompt(self, hidden: Array, options: Options) -> list[int]:
        """The prompt; a language that is left open is recognised by the model."""
        before, languages, after = (options[key] for key in ("before", "languages", "after"))
        recognised = [self._decoder.pick(hidden, before, languages)] if languages else []
        return [*before, *recognised, *after]

    def finish(self, heard: Transcript, tokens: list[list[int]], options: Options) -> Output:
        """The tokens of all windows, whose text the processor adds."""
        output: Output = {"tokens": join_tokens(tokens), "duration_s": heard.duration_s}
        windows = [
            {"tokens": own, "start_s": start_s, "duration_s": duration_s}
            for own, (start_s, duration_s) in zip(tokens, heard.places, strict=True)
        ]
        return {**output, "windows": windows} if "stamps" in options else output


def _read_samples(sound: Any, field: str) -> Array:
    """The sound where it is one. Raises BadInput naming the field."""
    allowed = "a float32 vector of at least one sample, mono, at the rate of the model"
    if not isinstance(sound, np.ndarray):
        raise BadInput(field, f"of type {type(sound).__name__}", allowed)
    if sound.dtype != np.float32 or sound.ndim != 1 or not sound.size:
        raise BadInput(field, f"{sound.dtype} of shape {list(sound.shape)}", allowed)
    odd = np.flatnonzero(~np.isfinite(sound))
    if odd.size:
        raise BadInput(field, f"{sound[odd[0]]} at sample {odd[0]}", "of finite numbers")
    return sound


RUNNER = Transcriber
