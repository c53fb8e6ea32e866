"""The text that quality is measured on, and questions that the built-in model never saw."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

import numpy as np
from tokenizers import Tokenizer

from browser_runtime.low_bits.arrays import IntArray

TEXT, QUESTIONS = "evaluation.txt", "numbers.tsv"
MAX_WINDOW = 1024
"""Tokens that a model sees at most: long enough for a packed cache to count."""
PARAGRAPH_WORDS = 12


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a number and its one right answer."""

    kind: str
    text: str
    answer: str


def read_windows(tokenizer: Tokenizer, n_tokens: int, max_positions: int) -> list[IntArray]:
    """The text's first tokens, as many as there are of `n_tokens`, in windows."""
    tokens = np.array(tokenizer.encode(_read(TEXT), add_special_tokens=False).ids[:n_tokens], np.int32)
    size = min(MAX_WINDOW, max_positions - 1)
    cuts = (tokens[start : start + size] for start in range(0, len(tokens), size))
    return [window for window in cuts if len(window) > 1]


def read_paragraphs() -> list[str]:
    """The first words of each paragraph of the text, to be gone on with."""
    paragraphs = _read(TEXT).split("\n\n")
    return [" ".join(words[:PARAGRAPH_WORDS]) for each in paragraphs if len(words := each.split()) > 3]


def read_questions(n_a_kind: int | None = None) -> list[Question]:
    """The first `n_a_kind` questions of each kind; all of them by default."""
    all_of_them = [Question(*line.split("\t")) for line in _read(QUESTIONS).splitlines()]
    by_kind: dict[str, list[Question]] = {}
    for question in all_of_them:
        by_kind.setdefault(question.kind, []).append(question)
    return [question for questions in by_kind.values() for question in questions[:n_a_kind]]


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
