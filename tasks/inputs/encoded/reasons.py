"""A foreign error in a few words, for the sentence of ours that replaces it."""

from __future__ import annotations

MAX_REASON = 120  # characters


def reason_of(error: BaseException) -> str:
    """The text of `error` on one line; its name if it has none."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= MAX_REASON else text[: MAX_REASON - 3] + "..."
