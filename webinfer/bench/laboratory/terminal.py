"""Results as tables for a terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from scheduler.experiments.tables import HOTTEST, NONE, WRONG, Cell, ResultTable

# Of the heats: from here on a cell is slow.
SLOW = HOTTEST // 2


def rich_table(result: ResultTable, title: str | None = None) -> Table:
    """A row a row, notes apart."""
    table = Table(title=title)
    for column in result.columns:
        name = f"{column.name}\n{column.below}" if column.below else column.name
        table.add_column(name, justify="right" if column.is_number else "left")
    for row in result.rows:
        table.add_row(*(Text(cell.text, style=_style(cell)) for cell in row))
    return table


def _style(cell: Cell) -> str:
    if not cell.mark.startswith("heat-"):
        return {NONE: "dim", WRONG: "bold red"}.get(cell.mark, "")
    heat = int(cell.mark.removeprefix("heat-"))
    return "bold" if heat == 0 else "" if heat < SLOW else "blue"


def numbered(result: ResultTable) -> list[str]:
    """The notes, as the cells number them."""
    return [f"({number}) {note}" for number, note in enumerate(result.notes, 1)]
