"""Golden answers: what a model must say to its own examples, wherever it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from browser_runtime.contract.vocabulary import Family
from browser_runtime.models.manifest import StoredModel
from browser_runtime.texts.preprocessor import PREPROCESSORS

# Backends differ by rounding only: each is held to 0.9999 on MiniLM by tests/browser/test_real_weights.py.
MIN_COSINE = 0.999


@dataclass(frozen=True, slots=True)
class Golden:
    """One example: what goes in, and what must come out."""

    item: Any
    family: Family
    expected: Any
    """A label, a text, or an embedding."""

    def mismatch(self, output: dict[str, Any]) -> str:
        """What is wrong with a page's output; empty where it is right."""
        if self.family is Family.VISION:
            return _unless_equal("label", self.expected, output["labels"][0]["label"])
        if self.family is Family.AUDIO:
            return _unless_equal("text", self.expected, output["text"])
        found = np.asarray(output["embedding"], np.float64)
        norms = np.linalg.norm(found) * np.linalg.norm(self.expected)
        cosine = float(found @ self.expected / norms) if norms > 0 else 0.0
        return "" if cosine >= MIN_COSINE else f"cosine {cosine:.4f} to the golden embedding"


def _unless_equal(what: str, expected: str, found: str) -> str:
    return "" if found == expected else f"{what} {found!r} instead of {expected!r}"


def read_golden(model: StoredModel) -> Golden | None:
    """The model's first example; None for a model whose manifest has none."""
    examples = model.extra.get("examples")
    if not isinstance(examples, list) or not examples:
        return None
    example = examples[0]
    return Golden(
        _read_input(model, example["input"]), model.family, _read_expected(model, example["expected"])
    )


def _read_input(model: StoredModel, told: str) -> Any:
    if model.family is Family.TEXT_EMBEDDING:
        return PREPROCESSORS.take(model).encode([told], ["example"], {})[0]
    path = _inside(model, told)
    if model.family is Family.VISION:
        from PIL import Image

        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    import soundfile

    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == 16_000, f"{path} has {rate} samples a second; examples have 16000"
    return samples


def _read_expected(model: StoredModel, told: dict[str, Any]) -> Any:
    if model.family is Family.TEXT_EMBEDDING:
        rows = np.load(_inside(model, told["embedding"]), allow_pickle=False)
        return np.asarray(rows[told["row"]], np.float64)
    return told["label" if model.family is Family.VISION else "text"]


def _inside(model: StoredModel, relative: str) -> Path:
    """A file that the manifest lists, and so that was verified."""
    assert relative in model.files, f"{model.name} has no file {relative}"
    return model.folder / relative
