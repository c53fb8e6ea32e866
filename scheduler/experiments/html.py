"""A result as markup that needs one style sheet, experiments.css, and no script."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from scheduler.experiments.tables import Cell, Column, ResultTable

# Served by Flower, and read by the pages that load nothing.
STYLE_FILE = Path(__file__).parents[1] / "monitor/static/experiments.css"


def write_result(table: ResultTable, name: str) -> str:
    """The table with its picture, legend and notes. `name` is read out by screen readers."""
    head = "".join(map(_heading, table.columns))
    body = "".join(f"<tr>{_row(table, row)}</tr>" for row in table.rows)
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in table.notes)
    label = html.escape(name, quote=True)
    return (
        f'<div class="result-scroll" tabindex="0" role="region" aria-label="{label}">'
        f'<table class="result"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        + (f'<div class="result-picture">{table.picture}</div>' if table.picture else "")
        + (f'<p class="result-legend">{html.escape(table.legend)}</p>' if table.legend else "")
        + (f'<ol class="result-notes">{notes}</ol>' if notes else "")
    )


def _heading(column: Column) -> str:
    below = f"<small>{html.escape(column.below)}</small>" if column.below else ""
    kind = ' class="number"' if column.is_number else ""
    return f'<th scope="col"{kind}>{html.escape(column.name)}{below}</th>'


def _row(table: ResultTable, row: Sequence[Cell]) -> str:
    first, *others = row
    cells = (_cell(cell, column) for cell, column in zip(others, table.columns[1:], strict=True))
    return f'<th scope="row">{html.escape(first.text)}</th>{"".join(cells)}'


def _cell(cell: Cell, column: Column) -> str:
    classes = " ".join(filter(None, ("number" if column.is_number else "", cell.mark)))
    place = f' title="{html.escape(cell.place, quote=True)}"' if cell.place else ""
    detail = f"<small>{html.escape(cell.detail)}</small>" if cell.detail else ""
    return f'<td class="{classes}"{place}>{html.escape(cell.text)}{detail}</td>'
