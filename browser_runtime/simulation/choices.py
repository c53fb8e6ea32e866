"""What a request chose among a family's options, checked; the twin of `page/families/choices.js`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from browser_runtime.contract.errors import BadInput


def read_count(options: dict[str, Any], name: str, standard: int) -> int:
    """The whole number under `name`, or `standard`. Raises BadInput naming the option."""
    value = options.get(name)
    if value is None:
        return standard
    if type(value) is int and value > 0:
        return value
    raise BadInput(f"options.{name}", repr(value), "a whole number above 0")


def read_word(options: dict[str, Any], name: str, allowed: Collection[str]) -> str | None:
    """The word under `name`, or None. Raises BadInput naming the option and what is allowed."""
    value = options.get(name)
    if value is None or (isinstance(value, str) and value in allowed):
        return value
    raise BadInput(f"options.{name}", repr(value), f"one of {', '.join(sorted(allowed))}")
