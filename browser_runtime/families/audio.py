"""Speech recognition with Whisper: features in, tokens out, which become text here."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Self

import numpy as np

from browser_runtime.families.processor import Options, Output, Plain, Processor, locate_example
from browser_runtime.models.configuration.decoding import DecodingChoices, DecodingPlan
from browser_runtime.models.configuration.features import MelPlan
from browser_runtime.models.files.json_files import read_object
from browser_runtime.models.manifest import StoredModel
from browser_runtime.texts.transcripts import TranscriptReader

Samples = np.ndarray[Any, np.dtype[np.float32]]


class SpeechProcessor(Processor):
    """The feature extractor's sizes, the way of decoding, and the tokenizer that reads transcripts."""

    def __init__(self, folder: Path, model: StoredModel | None = None) -> None:
        """Reads the model's JSON files and its tokenizer. Raises BadInput, BadRequest."""
        config = read_object(folder / "config.json")
        self._model = model
        self.mels = MelPlan.of(read_object(folder / "preprocessor_config.json"), config)
        self.decoding = DecodingPlan.of(read_object(folder / "generation_config.json"), config)
        self._reader = TranscriptReader(folder)

    @classmethod
    def check(cls, folder: Path) -> None:
        """Returns if files and tokenizer ask only for what is done here. Raises BadInput, BadRequest."""
        cls(folder)

    @classmethod
    def open(cls, model: StoredModel) -> Self:
        """The processor of a stored model. Raises BadInput."""
        return cls(model.folder, model)

    @property
    def settings(self) -> Plain:
        """The extractor's sizes, tokens that end a transcript or are barred, an example."""
        rules = {
            "ends": list(self.decoding.ends),
            "never": list(self.decoding.never),
            "not_first": list(self.decoding.not_first),
        }
        return {
            "features": self.mels.to_page(),
            "rules": rules,
            "example": self.decoding.example(),
        }

    def choose(self, options: Options) -> DecodingChoices:
        """The prompt and the most tokens."""
        return self.decoding.choose(options)

    def measure(self, item: Samples) -> float:
        """Windows of the model that the sound fills: each is encoded and decoded by itself."""
        return float(max(math.ceil(len(item) / self.mels.n_samples), 1))

    def estimate_work(self, item: Samples, options: Options) -> float:
        """Seconds of sound."""
        return len(item) / self.mels.rate_hz

    def finish(self, output: Output) -> Output:
        """The output with the text of its tokens."""
        return output | {"text": self._reader.read(output["tokens"])}

    def sample_items(self) -> list[Samples]:
        """A tone of one second."""
        rate = self.mels.rate_hz
        return [np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)]

    def read_example(self, path_or_text: str) -> Samples:
        """The samples of a sound file: float32 [samples]."""
        import soundfile

        assert self._model is not None, "examples belong to a stored model"
        path = locate_example(self._model, path_or_text)
        samples, rate = soundfile.read(path, dtype="float32")
        assert rate == self.mels.rate_hz, f"{path} has {rate} samples a second, not {self.mels.rate_hz}"
        found: Samples = samples
        return found


PROCESSOR = SpeechProcessor
