"""Speech recognition with Whisper: features in, tokens out, which become text here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from browser_runtime.contract.errors import BadInput
from browser_runtime.families.processor import Options, Output, Plain, Processor
from browser_runtime.families.sounds import Samples, count_resampled, make_tone, read_recording, read_sound
from browser_runtime.models.configuration.decoding import DecodingPlan
from browser_runtime.models.configuration.features import MelPlan
from browser_runtime.models.configuration.preprocessors import SOUNDS, read_preprocessor
from browser_runtime.models.files.json_files import read_object
from browser_runtime.models.manifest import StoredModel
from browser_runtime.texts.segments import SegmentJoiner, Window
from browser_runtime.texts.transcripts import TranscriptReader


class SpeechProcessor(Processor):
    """The feature extractor's sizes, the way of decoding, and the tokenizer that reads transcripts."""

    def __init__(self, folder: Path, model: StoredModel | None = None) -> None:
        """Reads the model's JSON files and its tokenizer. Raises BadInput, BadRequest."""
        config = read_object(folder / "config.json")
        self._model = model
        self.mels = MelPlan.of(read_preprocessor(folder, SOUNDS), config)
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

    def choose(self, options: Options) -> Plain:
        """The prompt, the most tokens, and whether a compute shader makes features: null leaves it open."""
        return {**self.decoding.choose(options), "compute_shaders": options.get("compute_shaders")}

    def encode(
        self, items: Sequence[Any], fields: Sequence[str], options: Options
    ) -> list[Samples | BadInput]:
        """The samples at the model's rate; a BadInput in the place of texts, which no Whisper reads."""
        return [self._encode(item, field) for item, field in zip(items, fields, strict=True)]

    def _encode(self, item: Any, field: str) -> Samples | BadInput:
        if isinstance(item, dict) and "texts" in item:
            allowed = "a sound: Whisper writes down what it hears; CLAP takes both"
            return BadInput(field, "holding texts", allowed)
        try:
            return read_sound(item, self.mels.rate_hz, field)
        except BadInput as error:
            return error

    def count_characters(self, items: Sequence[Any]) -> int:
        """Samples that are resampled, as so many characters."""
        return count_resampled(items, self.mels.rate_hz)

    def measure(self, item: Samples) -> float:
        """Windows of the model that the sound fills: each is encoded and decoded by itself."""
        return float(max(math.ceil(len(item) / self.mels.n_samples), 1))

    def estimate_work(self, item: Samples, options: Options) -> float:
        """Seconds of sound."""
        return len(item) / self.mels.rate_hz

    def finish(self, output: Output) -> Output:
        """The output with the text of its tokens, and segments where windows with time stamps came."""
        if "windows" not in output:
            return output | {"text": self._reader.read(output["tokens"])}
        begin = self.decoding.stamps["begin"]
        joiner = SegmentJoiner(begin, self.mels.seconds_a_position, self._reader.special)
        segments = joiner.join([Window(**window) for window in output["windows"]])
        texts = [self._reader.read_piece(segment.tokens) for segment in segments]
        chunks = [
            {"text": text, "timestamp": [segment.start_s, segment.end_s]}
            for text, segment in zip(texts, segments, strict=True)
        ]
        tokens = [token for segment in segments for token in segment.tokens]
        rest = {key: value for key, value in output.items() if key != "windows"}
        return rest | {"tokens": tokens, "text": "".join(texts).strip(), "chunks": chunks}

    def sample_items(self) -> list[Samples]:
        """A tone of one second."""
        return [make_tone(self.mels.rate_hz)]

    def read_example(self, path_or_text: str) -> Any:
        """The sound in a file."""
        assert self._model is not None, "examples belong to a stored model"
        return read_recording(self._model, path_or_text)


PROCESSOR = SpeechProcessor
