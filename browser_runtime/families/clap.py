"""Sounds and texts in one space, as CLAP has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import BadInput
from browser_runtime.families.comparing import Array, ComparingProcessor
from browser_runtime.families.processor import Options, Output, Plain
from browser_runtime.families.sounds import count_resampled, make_tone, read_recording, read_sound
from browser_runtime.models.configuration.preprocessors import SOUNDS, read_preprocessor
from browser_runtime.models.configuration.sound_features import SoundPlan
from browser_runtime.models.files.json_files import Json, read_object
from browser_runtime.models.manifest import StoredModel


class SoundComparingProcessor(ComparingProcessor):
    """The feature extractor's sizes beside a model's tokenizer."""

    NOUN = "a sound"
    # transformers' ZeroShotAudioClassificationPipeline.
    TEMPLATE = "This is a sound of {}."
    # transformers' get_audio_features and get_text_features do.
    NORMALIZES = True
    # A text of 16 tokens through RoBERTa-base, in windows of 10 s through HTSAT-tiny.
    WORK_OF_A_TEXT = 0.1

    def __init__(self, folder: Path, model: StoredModel | None = None) -> None:
        """Reads the model's JSON files and opens its tokenizer. Raises BadInput, BadRequest."""
        super().__init__(folder, model)
        config = read_object(folder / "config.json")
        self.sounds = SoundPlan.of(read_preprocessor(folder, SOUNDS), config)

    def read_array(self, item: Any, field: str) -> tuple[Array | None, Mapping[str, object]]:
        """The samples that the model hears: all, or the middle of a longer sound. Raises BadInput."""
        sound = item.get("audio") if isinstance(item, dict) and "texts" in item else item
        if sound is None:
            return None, {}
        samples = read_sound(sound, self.sounds.rate_hz, field)
        if not samples.size:
            raise BadInput(field, "a sound without samples", "at least one sample long")
        heard = self.sounds.cut(samples)
        facts = {"duration_s": len(samples) / self.sounds.rate_hz, "truncated": len(heard) < len(samples)}
        return heard, facts

    def choose(self, options: Options) -> Plain:
        """As any comparison, and whether a compute shader makes the features: null leaves it open."""
        return {**super().choose(options), "compute_shaders": options.get("compute_shaders")}

    def count_characters(self, items: Sequence[Any]) -> int:
        """Characters of all texts, and samples that are resampled, as so many."""
        return super().count_characters(items) + count_resampled(items, self.sounds.rate_hz)

    def plan_arrays(self) -> Json:
        """The feature extractor's sizes."""
        return {"sounds": self.sounds.to_page()}

    def find_doubt(self, output: Output) -> str:
        """Warns of equal logits, and of a sound that was not heard whole."""
        flat = super().find_doubt(output)
        if not output.get("truncated") or "duration_s" not in output:
            return flat
        whole = output["duration_s"]
        cut = f"of a sound of {whole:.1f} s its middle {self.sounds.max_length_s} s were heard"
        return f"{flat}; {cut}" if flat else cut

    def draw_sample(self) -> Any:
        """A tone of one second."""
        return {"audio": make_tone(self.sounds.rate_hz), "rate_hz": self.sounds.rate_hz}

    def read_example(self, path_or_text: str) -> Any:
        """The sound in a file."""
        assert self.model is not None, "examples belong to a stored model"
        return read_recording(self.model, path_or_text)


PROCESSOR = SoundComparingProcessor
