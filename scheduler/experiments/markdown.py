"""Text and results as Markdown."""

from __future__ import annotations

import re

from scheduler.experiments.tables import ResultTable

# Characters that Markdown or HTML within it could take for markup.
MARKUP = re.compile(r"([\\`*_\[\]<>|~&$])")
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")


def escape_markdown(text: str) -> str:
    """`text` so that it shows as it is, in one line, and steers no terminal."""
    return MARKUP.sub(r"\\\1", UNPRINTABLE.sub(" ", text))


def write_result(table: ResultTable) -> str:
    """The table with its legend and its notes."""
    head = [column.title for column in table.columns]
    lines = [_row(head), "|" + "---|" * len(head)]
    lines += [_row([cell.text for cell in row]) for row in table.rows]
    lines += ["", escape_markdown(table.legend)] if table.legend else []
    lines += ["", *(f"{number}. {escape_markdown(note)}" for number, note in enumerate(table.notes, 1))]
    return "\n".join([*lines, ""])


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(map(escape_markdown, cells)) + " |"
