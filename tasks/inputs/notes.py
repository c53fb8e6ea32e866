"""Notes on an input for the warnings of its reply: parts that were left out, or taken on trust."""

from __future__ import annotations

from collections.abc import Callable

Note = Callable[[str], None]


def ignore(note: str) -> None:
    """For callers that tell nobody."""
