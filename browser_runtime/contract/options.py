"""The options of a request, by family: one table that producer, worker, command and documentation read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.vocabulary import Family

# Of what a user gave, an error shows no more than this.
SHOWN_CHARACTERS = 100
# The longest name of a language that Whisper knows has 14.
WORD_CHARACTERS = 40
# An instruction before a text has a few dozen; models see a few hundred tokens of prompt and text together.
TEXT_CHARACTERS = 10_000


class Kind(StrEnum):
    """Types of option values."""

    FLAG = "flag"
    COUNT = "count"
    WORD = "word"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Option:
    """One option: what it may be, and what it does."""

    name: str
    kind: Kind
    summary: str
    families: tuple[Family, ...] = tuple(Family)
    most: int = 0
    """The largest COUNT; the smallest is 1."""
    words: tuple[str, ...] = ()
    """The WORDs there are; empty where each model has its own."""
    opens: bool = False
    """True: it changes how a model is opened, so a model opened with it is another model."""

    @property
    def allowed(self) -> str:
        """The allowed values in words, for an error or a table."""
        if self.kind is Kind.FLAG:
            return "True or False"
        if self.kind is Kind.COUNT:
            return f"a whole number from 1 to {self.most}"
        if self.kind is Kind.TEXT:
            return f"a text of at most {TEXT_CHARACTERS} characters"
        return f"one of {', '.join(self.words)}" if self.words else "a word that the model knows"

    def check(self, value: Any) -> Any:
        """`value` where it is allowed. Raises BadInput naming the option."""
        if self._allows(value):
            return value
        shown = repr(value)
        shown = shown if len(shown) <= SHOWN_CHARACTERS else f"{shown[: SHOWN_CHARACTERS - 3]}..."
        raise BadInput(f"options.{self.name}", shown, self.allowed)

    def _allows(self, value: Any) -> bool:
        if self.kind is Kind.FLAG:
            return isinstance(value, bool)
        if self.kind is Kind.COUNT:
            return type(value) is int and 1 <= value <= self.most
        if self.kind is Kind.TEXT:
            return _is_text(value)
        return value in self.words if self.words else _is_word(value)


def _is_text(value: Any) -> bool:
    """Return whether it is a text of that length; half of a character is none."""
    if not isinstance(value, str) or len(value) > TEXT_CHARACTERS:
        return False
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= WORD_CHARACTERS


_ALL = (
    Option(
        "prompt",
        Kind.TEXT,
        "what to put before each text; default: the model's own default prompt, if it has one",
        (Family.TEXT_EMBEDDING,),
    ),
    Option(
        "prompt_name",
        Kind.WORD,
        "the name of one of the model's prompts (`query`, `passage`) to put before each text",
        (Family.TEXT_EMBEDDING,),
    ),
    Option(
        "dimensions",
        Kind.COUNT,
        "keep the embedding's first numbers alone, as sentence-transformers' `truncate_dim`; its length is "
        "then not 1 any more, unless `normalize` is given too",
        (Family.TEXT_EMBEDDING,),
        most=65_536,
    ),
    Option(
        "normalize",
        Kind.FLAG,
        "give the embedding length 1; default: as the model's modules leave it",
        (Family.TEXT_EMBEDDING,),
    ),
    Option(
        "top_k",
        Kind.COUNT,
        "how many labels to give, likeliest first; default 5. All scores are in the output's `logits`",
        (Family.VISION,),
        most=1000,
    ),
    Option(
        "function_to_apply",
        Kind.WORD,
        "what makes scores of logits; default: what the model's `problem_type` says",
        (Family.VISION,),
        words=("softmax", "sigmoid", "none"),
    ),
    Option(
        "language",
        Kind.WORD,
        "the language that is spoken, as a code (`en`) or a name (`english`); default: the model's own "
        "setting, else it is recognised",
        (Family.AUDIO,),
    ),
    Option(
        "task",
        Kind.WORD,
        "whether to write down what is said, or its translation into English; default: as the model's own "
        "settings say",
        (Family.AUDIO,),
        words=("transcribe", "translate"),
    ),
    Option(
        "max_new_tokens",
        Kind.COUNT,
        "the most tokens to make for each window of sound; default: as many as the model has room for",
        (Family.AUDIO,),
        most=4096,
    ),
    Option("compute_shaders", Kind.FLAG, "run kernels of webinfer's own where there are any", opens=True),
    Option("precompile_shaders", Kind.FLAG, "compile every shader while the model is loaded", opens=True),
    Option(
        "mixed_precision",
        Kind.FLAG,
        "compute parts of the model in a lower precision; no model here does, and the reply says so",
        opens=True,
    ),
    Option("parallel_loading", Kind.FLAG, "load the parts of a model side by side"),
    Option("dynamic_shapes", Kind.FLAG, "give WebNN graphs of open shapes, to measure them", opens=True),
)
OPTIONS = {option.name: option for option in _ALL}

# The flags, and those of them that change how a model is opened.
FLAGS = tuple(option.name for option in _ALL if option.kind is Kind.FLAG)
LOAD_FLAGS = tuple(option.name for option in _ALL if option.opens)


def options_of(family: Family) -> tuple[Option, ...]:
    """The options that a request of `family` may have."""
    return tuple(option for option in OPTIONS.values() if family in option.families)


def check_options(options: Any, family: Family | None = None) -> dict[str, Any]:
    """The options that were given, those that are None left out; every family's where none is named.

    Raises BadInput naming the option that there is not, or whose value it is not.
    """
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise BadInput("options", f"of type {type(options).__name__}", "a dict")
    known = OPTIONS if family is None else {option.name: option for option in options_of(family)}
    for name in options:
        if name not in known:
            raise _unknown(name, known, family)
    return {name: known[name].check(value) for name, value in options.items() if value is not None}


def _unknown(name: Any, known: Iterable[str], family: Family | None) -> BadInput:
    whose = "any family" if family is None else str(family)
    near = suggest(name, known)
    return BadInput(f"the option {name!r}"[:SHOWN_CHARACTERS], f"unknown to {whose}{near}", _one_of(known))


def _one_of(known: Iterable[str]) -> str:
    return f"one of {', '.join(known)}"


def suggest(name: Any, known: Iterable[str]) -> str:
    """ " (did you mean 'language'?)" where one of `known` is near `name`; empty where none is."""
    near = difflib.get_close_matches(name, list(known), n=1) if isinstance(name, str) else []
    return f" (did you mean {near[0]!r}?)" if near else ""
