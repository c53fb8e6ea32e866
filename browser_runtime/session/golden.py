"""Golden answers: outputs of a model's own examples that it must give wherever it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.family_spec import AnswerSpec
from browser_runtime.families.processor import Processor, locate_example
from browser_runtime.models.manifest import StoredModel

# Backends differ by rounding only: each is held to 0.9999 on MiniLM by tests/browser/test_real_weights.py.
MIN_COSINE = 0.999

Vector = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Golden:
    """One example: its item, encoded for the page, and the expected answer."""

    item: Any
    answer: AnswerSpec
    word: str | None = None
    """The expected text at `answer.word`."""
    vector: Vector | None = None
    """The expected numbers at `answer.numbers`, for a family without a word."""

    def mismatch(self, output: Mapping[str, Any]) -> str:
        """The difference of a page's output to the expected one; empty if it is right."""
        if self.vector is None:
            name, found = self.answer.word[-1], find_word(output, self.answer)
            return "" if found == self.word else f"{name} {found!r} instead of {self.word!r}"
        cosine = cosine_of(output[self.answer.numbers], self.vector)
        return "" if cosine >= MIN_COSINE else f"cosine {cosine:.4f} to the golden {self.answer.numbers}"


def find_word(output: Mapping[str, Any], answer: AnswerSpec) -> Any:
    """The text in an output by which it is compared."""
    found: Any = output
    for key in answer.word:
        found = found[key]
    return found


def cosine_of(one: Sequence[float] | Vector, other: Sequence[float] | Vector) -> float:
    """The cosine of two vectors; 0 if one of them is zero."""
    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norms) if norms > 0 else 0.0


def read_golden(model: StoredModel, processor: Processor) -> Golden | None:
    """The model's first example; None for a model whose manifest has none."""
    examples = model.extra.get("examples")
    if not isinstance(examples, list) or not examples:
        return None
    example, answer = examples[0], model.family.answer
    (item,) = processor.encode([processor.read_example(example["input"])], ["example"], {})
    if isinstance(item, InferenceError):
        raise item
    if answer.word:
        return Golden(item, answer, word=example["expected"][answer.word[-1]])
    path = locate_example(model, example["expected"][answer.numbers])
    rows = np.load(path, allow_pickle=False)
    return Golden(item, answer, vector=np.asarray(rows[example["expected"]["row"]], np.float64))
