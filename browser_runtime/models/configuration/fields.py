"""The keys of one configuration file, read by allow-lists: an unknown key or value is refused by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.options import suggest

SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Rule:
    """The supported values of a key, in words and as a test."""

    allowed: str
    accepts: Callable[[Any], bool]


def only(*values: Any, why: str = "") -> Rule:
    """A rule for these values alone; `why` names what is unsupported."""
    words = " or ".join(_shown(value) for value in values)
    return Rule(f"left out or {words}{f': {why}' if why else ''}", lambda value: value in values)


def whole(most: int, least: int = 1) -> Rule:
    """A rule for whole numbers in a range."""
    return Rule(f"a whole number from {least} to {most}", lambda value: is_whole(value, most, least))


def is_whole(value: Any, most: int, least: int = 1) -> bool:
    """True for a whole number in that range; False for a flag."""
    return type(value) is int and least <= value <= most


def is_number(value: Any) -> bool:
    """True for a finite number; False for a flag."""
    return type(value) in (int, float) and math.isfinite(value)


FLAG = Rule("true or false", lambda value: isinstance(value, bool))
NUMBER = Rule("a finite number", is_number)
# What transformers keeps in its files, and what changes nothing here.
ANYTHING = Rule("anything: it changes nothing here", lambda _: True)


class Fields:
    """The object in one JSON file. A null is checked by no rule, and mostly counts as left out."""

    def __init__(self, file: str, values: Any) -> None:
        if not isinstance(values, dict):
            raise BadInput(file, _shown(values), "a JSON object")
        self.file = file
        self._values = values

    def get(self, key: str, default: Any = None) -> Any:
        """The value of the key; `default` if it is left out or null."""
        value = self._values.get(key)
        return default if value is None else value

    def given(self, key: str, default: Any = None) -> Any:
        """The value of the key; `default` if it is left out, None for null."""
        return self._values.get(key, default)

    def keys(self) -> list[str]:
        """The keys that are there."""
        return list(self._values)

    def has(self, key: str) -> bool:
        """True if the key is there, even with null."""
        return key in self._values

    def read(self, key: str, default: Any, rule: Rule) -> Any:
        """The value of the key, like `get`. Raises BadInput if the rule does not accept it."""
        value = self.get(key, default)
        if value is not default and not rule.accepts(value):
            raise self.refusal(key, rule.allowed)
        return value

    def hold_to(self, rules: Mapping[str, Rule], whose: str = "") -> None:
        """Raises BadInput for a key that has no rule, and for a value that its rule does not accept.

        A null asks for nothing, whatever its key.
        """
        for key, value in self._values.items():
            if value is None:
                continue
            if key not in rules:
                near = suggest(key, rules)
                raise self.refusal(
                    key, f"left out: it is not understood{f' in {whose}' if whose else ''}{near}"
                )
            self.read(key, None, rules[key])

    def refusal(self, key: str, allowed: str) -> BadInput:
        """The error that names the key, its value and what is allowed."""
        value = "missing" if self.get(key) is None else _shown(self._values[key])
        return BadInput(f"{key} of {self.file}", value, allowed)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 3]}..."
