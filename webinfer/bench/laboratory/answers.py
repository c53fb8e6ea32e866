"""Inputs that models are measured with, and whether two answers are the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.family_spec import AnswerSpec
from browser_runtime.contract.messages import Request
from browser_runtime.contract.options import SEED
from browser_runtime.contract.vocabulary import Family
from browser_runtime.families.processor import PROCESSORS
from browser_runtime.models.manifest import StoredModel
from browser_runtime.session.golden import cosine_of, find_word
from webinfer.bench.laboratory.arms import Arm

# Backends differ by rounding alone: as the golden checks have it (browser_runtime/session/golden.py).
COSINE_TOLERANCE = 0.001
# Of a label's score, which is a probability.
SCORE_TOLERANCE = 0.01
# Of generated text, unless an arm says otherwise.
SETTLED: Mapping[str, Any] = {"temperature": 0.0, SEED: 1}
WORDS = ("time", "person", "year", "way", "day", "thing", "man", "world")


@dataclass(frozen=True, slots=True)
class Answer:
    """The parts of an output that are compared, of the first item."""

    word: str | None = None
    numbers: tuple[float, ...] = ()
    """An embedding."""
    scores: Mapping[str, float] | None = None
    """By label."""

    def difference(self, other: Answer) -> str:
        """The difference of `other` to this in words; empty where it is within the tolerance."""
        if self.word != other.word:
            return f"{other.word!r} instead of {self.word!r}"
        if self.numbers:
            cosine = (
                cosine_of(self.numbers, other.numbers) if len(self.numbers) == len(other.numbers) else 0.0
            )
            return "" if 1 - cosine <= COSINE_TOLERANCE else f"cosine {cosine:.4f}"
        far = self.score_distance(other)
        return "" if far <= SCORE_TOLERANCE else f"a score differs by {far:.3f}"

    def score_distance(self, other: Answer) -> float:
        """The largest difference of a label's score, of those that both name; 0 without scores."""
        one, two = self.scores or {}, other.scores or {}
        return max((abs(one[name] - two[name]) for name in one.keys() & two.keys()), default=0.0)

    def closeness(self, other: Answer) -> float:
        """1 for the same answer: the cosine of embeddings, else 1 less the largest difference of a score."""
        if self.word != other.word:
            return 0.0
        if self.numbers:
            return cosine_of(self.numbers, other.numbers) if len(self.numbers) == len(other.numbers) else 0.0
        return 1 - self.score_distance(other)

    def to_plain(self) -> dict[str, Any]:
        """Plain values."""
        scores = None if self.scores is None else dict(self.scores)
        return {"word": self.word, "numbers": list(self.numbers), "scores": scores}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Answer:
        """The answer in a document."""
        return cls(plain["word"], tuple(plain["numbers"]), plain["scores"])

    def show(self) -> str:
        """The answer in a few characters."""
        if self.word is not None:
            return repr(self.word)
        return f"{len(self.numbers)} numbers"


def read_answer(output: Any, spec: AnswerSpec) -> Answer:
    """The answer in a reply's output, of the first item if it is a list."""
    first = output[0] if isinstance(output, list) else output
    word = str(find_word(first, spec)).strip() if spec.word else None
    numbers = tuple(float(value) for value in first[spec.numbers]) if spec.numbers else ()
    labels = first.get("labels") if isinstance(first, dict) else None
    scores = {str(row["label"]): float(row["score"]) for row in labels} if labels else None
    return Answer(word, numbers, scores)


def make_request(model: StoredModel, arm: Arm, *, batch: int = 1, length: int | None = None) -> Request:
    """A request with the model's own first example, `batch` times, or with texts of `length` words.

    Raises BadInput for a length that the model's inputs do not have.
    """
    family: Family = model.family.model_types[0]
    spec = model.family.inputs
    if length is None:
        items = [_example(model)] * batch
    elif spec.is_text and not spec.may_be_chats:
        items = [" ".join(WORDS[(row + k) % len(WORDS)] for k in range(length)) for row in range(batch)]
    else:
        raise BadInput("length", f"{length} for {model.name!r}", "left out: its inputs have one size")
    # A model whose own settings draw tokens by chance would answer otherwise each time, and be called wrong.
    settled = SETTLED if model.family.generates else {}
    return Request(
        family,
        model.name,
        {spec.batch: items},
        backends=() if arm.backend is None else (arm.backend,),
        precision=arm.precision_for(family),
        options={**settled, **arm.options},
        single=False,
    )


def _example(model: StoredModel) -> Any:
    processor = PROCESSORS.take(model)
    examples = model.extra.get("examples")
    if isinstance(examples, list) and examples:
        return processor.read_example(examples[0]["input"])
    return processor.sample_items()[0]
