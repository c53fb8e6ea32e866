"""One option of a request: its name, the values it takes, what it does."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from browser_runtime.contract.errors import BadInput

# Of what a user gave, an error shows no more than this.
SHOWN_CHARACTERS = 100
# The longest name of a language that Whisper knows has 14.
WORD_CHARACTERS = 40
# An instruction before a text has a few dozen; models see a few hundred tokens of prompt and text together.
TEXT_CHARACTERS = 10_000


class Kind(StrEnum):
    """The kinds of values."""

    FLAG = "flag"
    COUNT = "count"
    WORD = "word"
    TEXT = "text"
    TEXTS = "texts"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Option:
    """An option by name, with the values it allows and a summary for the documentation."""

    name: str
    kind: Kind
    summary: str
    most: float = 0
    """The largest COUNT or NUMBER, the most TEXTS."""
    least: float = 1
    """The smallest COUNT or NUMBER."""
    words: tuple[str, ...] = ()
    """The WORDs there are; empty where each model has its own."""
    opens: bool = False
    """True if it changes how a model is opened: a model opened with it is another model."""

    usual: object = False
    """The value of an opening option that means the same as leaving it out."""
    graphs: tuple[str, ...] = ()
    """The graphs that can obey it, by stem; empty if all of the family can."""

    @property
    def allowed(self) -> str:
        """The allowed values in words, for errors and tables."""
        if self.kind is Kind.FLAG:
            return "True or False"
        if self.kind is Kind.COUNT:
            return f"a whole number from {self.least:g} to {self.most:.0f}"
        if self.kind is Kind.NUMBER:
            return f"a number from {self.least:g} to {self.most:g}"
        if self.kind is Kind.TEXTS:
            return f"a text, or a list of at most {self.most:g} texts, none of them empty"
        if self.kind is Kind.TEXT:
            return f"a text of at most {TEXT_CHARACTERS} characters"
        return f"one of {', '.join(self.words)}" if self.words else "a word that the model knows"

    def check(self, value: object) -> object:
        """Returns `value` if it is allowed. Raises BadInput naming the option."""
        if isinstance(value, tuple) and self.kind is Kind.TEXTS:
            value = list(value)
        if self.allows(value):
            return value
        shown = repr(value)
        shown = shown if len(shown) <= SHOWN_CHARACTERS else f"{shown[: SHOWN_CHARACTERS - 3]}..."
        raise BadInput(f"options.{self.name}", shown, self.allowed)

    def allows(self, value: object) -> bool:
        """True if the option takes that value."""
        if self.kind is Kind.FLAG:
            return isinstance(value, bool)
        if self.kind is Kind.COUNT:
            return type(value) is int and self.least <= value <= self.most
        if self.kind is Kind.NUMBER:
            return type(value) in (int, float) and self.least <= value <= self.most  # type: ignore[operator]
        if self.kind is Kind.TEXTS:
            texts = value if isinstance(value, list) else [value]
            return len(texts) <= self.most and all(_is_text(text) and text != "" for text in texts)
        if self.kind is Kind.TEXT:
            return _is_text(value)
        return value in self.words if self.words else _is_word(value)


def _is_text(value: object) -> bool:
    """True for a text of at most that length without lone surrogates."""
    if not isinstance(value, str) or len(value) > TEXT_CHARACTERS:
        return False
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def _is_word(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= WORD_CHARACTERS
