"""What a reply's warnings must tell of an input that was read: what of it was left out, or taken on trust."""

from __future__ import annotations

from collections.abc import Callable

Note = Callable[[str], None]


def ignore(note: str) -> None:
    """For callers that tell nobody."""
