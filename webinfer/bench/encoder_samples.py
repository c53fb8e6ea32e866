"""The items that `webinfer bench encoders` asks: texts of two lengths, or an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from browser_runtime.contract.families import TEXT_EMBEDDING, VISION
from browser_runtime.contract.family_spec import FamilySpec
from browser_runtime.families.vision import ImageProcessor
from browser_runtime.low_bits.encoder_file import PackedEncoder
from browser_runtime.models.intake.quantising_encoders import SENTENCES, draw_images
from browser_runtime.models.manifest import StoredModel
from browser_runtime.simulation.vision import prepare_pixels

Vectors = np.ndarray[Any, Any]

LENGTHS = (14, 110)
"""Tokens of a text: a question, and a paragraph."""


class Samples(Protocol):
    """Items that are timed, and all that are compared."""

    @property
    def family(self) -> FamilySpec:
        """What answers them."""

    @property
    def timed(self) -> dict[int, Any]:
        """Items by their rows: a text's tokens, or an image's patches and its class token."""

    @property
    def all(self) -> list[Any]:
        """Those that are timed, and others."""

    def feed(self, item: Any) -> dict[str, Vectors]:
        """The graph's inputs for one item."""

    def read(self, output: Vectors) -> Vectors:
        """The vector of that item in the graph's output, of length 1."""


class Texts:
    """Texts cut to lengths, and sentences."""

    family = TEXT_EMBEDDING

    def __init__(self, model: StoredModel, lengths: tuple[int, ...] = LENGTHS) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(model.folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self.timed: dict[int, Any] = {n: self._cut(n) for n in lengths}

    @property
    def all(self) -> list[Any]:
        """Those that are timed, and sentences."""
        return [*self.timed.values(), *SENTENCES]

    def feed(self, item: str) -> dict[str, Vectors]:
        """Its tokens, none of them hidden."""
        ids = np.array([self._tokenizer.encode(item).ids], np.int64)
        return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}

    def read(self, output: Vectors) -> Vectors:
        """The mean over the tokens."""
        return normalise(output[0].mean(0))

    def _cut(self, n_tokens: int) -> str:
        """Words of a book that make so many tokens, special ones included."""
        words = (Path(__file__).parent / "quality/evaluation.txt").read_text(encoding="utf-8").split()
        for start in range(len(words)):
            for end in range(start + 1, start + n_tokens):
                text = " ".join(words[start:end])
                if len(self._tokenizer.encode(text).ids) == n_tokens:
                    return text
        raise AssertionError(f"no words make {n_tokens} tokens")


class Images:
    """Drawn images, the first of them timed."""

    family = VISION

    def __init__(self, model: StoredModel, folder: Path) -> None:
        """`folder`: that of its packed encoder."""
        self._pixels = ImageProcessor(model.folder).pixels
        self._images = draw_images()
        self.timed: dict[int, Any] = {PackedEncoder.open(folder).shape.input.rows: self._images[0]}

    @property
    def all(self) -> list[Any]:
        """All that are drawn."""
        return list(self._images)

    def feed(self, item: Any) -> dict[str, Vectors]:
        """Its pixels, as the model takes them."""
        return {"pixel_values": prepare_pixels(item, self._pixels)[None]}

    def read(self, output: Vectors) -> Vectors:
        """The logits."""
        return normalise(output[0])


def normalise(vector: Vectors) -> Vectors:
    """The vector with length 1."""
    length: Vectors = vector / np.linalg.norm(vector)
    return length
