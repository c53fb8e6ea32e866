"""Markdown elements of generated pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import fill

# Line width of the other pages.
WIDTH = 116


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a bar inside a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def code(words: Iterable[object]) -> str:
    """Words as code, in a list."""
    return ", ".join(f"`{word}`" for word in words)


def paragraph(text: str) -> str:
    """A paragraph, filled to the line width."""
    return fill(" ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False)


def section(title: str, *parts: str) -> str:
    """A heading and the parts of its section, separated by blank lines."""
    return "\n\n".join((f"## {title}", *parts))
