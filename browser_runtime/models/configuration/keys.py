"""Keys of a configuration file against an allow-list: what is not understood is refused by name."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from browser_runtime.contract.errors import BadInput

# Of what a file holds, an error shows no more than this.
SHOWN_CHARACTERS = 100


def require(name: str, where: str, value: Any, is_allowed: bool, allowed: str) -> None:
    """Returns where `is_allowed`. Raises BadInput naming the key, the file and what it may be."""
    if not is_allowed:
        raise BadInput(f"{name} of {where}", _shown(value), allowed)


def refuse_unknown(values: dict[str, Any], known: Collection[str], where: str) -> None:
    """Returns where every key is known. Raises BadInput naming the first that is not."""
    for name, value in values.items():
        allowed = f"left out: known are {', '.join(sorted(known))}"
        require(name, where, value, name in known, allowed)


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= SHOWN_CHARACTERS else f"{shown[: SHOWN_CHARACTERS - 3]}..."
