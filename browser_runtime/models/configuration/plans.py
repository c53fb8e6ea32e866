"""What a model does with its inputs, decided once from its files: settings for the page, options of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from browser_runtime.contract.vocabulary import Family
from browser_runtime.models.configuration.decoding import DecodingPlan
from browser_runtime.models.configuration.features import MelPlan
from browser_runtime.models.configuration.pixels import PixelPlan
from browser_runtime.models.configuration.scores import ScorePlan
from browser_runtime.models.json_files import read_object


class ModelPlan(Protocol):
    """How a model is run: one class a family."""

    @property
    def settings(self) -> dict[str, Any]:
        """Plain values and arrays for opening the model in a page."""

    def choose(self, options: dict[str, Any]) -> dict[str, Any]:
        """The plain values that a run follows, for a request's options. Raises BadInput."""


@dataclass(frozen=True, slots=True)
class TextPlan:
    """Of texts their preprocessor (`texts/`) tells the page; this plan adds nothing."""

    @classmethod
    def read(cls, _: Path) -> Self:
        """The plan of the model in the folder."""
        return cls()

    @property
    def settings(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def choose(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options themselves: the steps from text to embedding read them."""
        return options


@dataclass(frozen=True, slots=True)
class VisionPlan:
    """An image classifier: pixels in, scores out."""

    pixels: PixelPlan
    scores: ScorePlan

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The plan in config.json and preprocessor_config.json. Raises BadInput."""
        config = read_object(folder / "config.json")
        pixels = PixelPlan.of(read_object(folder / "preprocessor_config.json"), config)
        return cls(pixels, ScorePlan.of(config))

    @property
    def settings(self) -> dict[str, Any]:
        """The pixel plan, and the choices of an example."""
        return {"pixels": self.pixels.to_page(), "example": self.choose({})}

    def choose(self, options: dict[str, Any]) -> dict[str, Any]:
        """How many labels, and scores made by which function."""
        return self.scores.choose(options)


@dataclass(frozen=True, slots=True)
class AudioPlan:
    """A Whisper: features in, tokens out."""

    mels: MelPlan
    decoding: DecodingPlan

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The plan in the model's three JSON files. Raises BadInput."""
        config = read_object(folder / "config.json")
        mels = MelPlan.of(read_object(folder / "preprocessor_config.json"), config)
        return cls(mels, DecodingPlan.of(read_object(folder / "generation_config.json"), config))

    @property
    def settings(self) -> dict[str, Any]:
        """The extractor's sizes, the tokens that end a transcript or are barred, an example's choices."""
        rules = {
            "ends": list(self.decoding.ends),
            "never": list(self.decoding.never),
            "not_first": list(self.decoding.not_first),
        }
        return {"features": self.mels.to_page(), "rules": rules, "example": self.decoding.example()}

    def choose(self, options: dict[str, Any]) -> dict[str, Any]:
        """The prompt and the most tokens."""
        return self.decoding.choose(options)


_PLANS: dict[Family, Callable[[Path], ModelPlan]] = {
    Family.TEXT_EMBEDDING: TextPlan.read,
    Family.VISION: VisionPlan.read,
    Family.AUDIO: AudioPlan.read,
}


def read_plan(folder: Path, family: Family) -> ModelPlan:
    """The plan of the model in the folder.

    Raises BadInput naming the file, the key, its value and what is allowed for what is not done here.
    """
    return _PLANS.get(family, TextPlan.read)(folder)
