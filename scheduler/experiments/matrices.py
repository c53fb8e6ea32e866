"""Every cell of a matrix as a heat map. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scheduler.experiments.tables import HOTTEST, NONE, WRONG, Cell, Column, Document, ResultTable

# A row's cells go from the quickest to one this many times as slow.
SLOWEST = 10.0
STATUS_WRONG = "wrong"
LEGEND = (
    "Milliseconds a request, median; below it the quartiles and the runs. White is the quickest of a row, "
    "full blue ten times as slow. Hatched cells answer wrongly."
)

Measured = Mapping[str, Any]
"""A cell as documents hold it."""
RowKey = tuple[str, str, int, int | None]
"""Model, precision, batch, length."""
ColumnKey = tuple[str, str]
"""Browser, backend."""


def tabulate_matrix(document: Document) -> ResultTable:
    """A row a model, precision, batch and length; a column a browser and backend."""
    cells: Sequence[Measured] = document["cells"]
    found = {(_row(cell), _column(cell)): cell for cell in cells}
    columns = list(dict.fromkeys(map(_column, cells)))
    notes: list[str] = []
    rows = []
    for row in dict.fromkeys(map(_row, cells)):
        mine = {column: found[row, column] for column in columns if (row, column) in found}
        shown = [_show(mine.get(column), list(mine.values()), notes) for column in columns]
        rows.append([Cell(_name(row)), *shown])
    head = [Column("ms a request, median", is_number=False), *(Column(*column) for column in columns)]
    return ResultTable(head, rows, notes, LEGEND)


def _row(cell: Measured) -> RowKey:
    return (cell["model"], cell["precision"], cell["batch"], cell["length"])


def _column(cell: Measured) -> ColumnKey:
    return (cell["browser"], cell["backend"])


def _name(row: RowKey) -> str:
    model, precision, batch, length = row
    return f"{model} {precision}, batch {batch}" + ("" if length is None else f", length {length}")


def _show(cell: Measured | None, row: Sequence[Measured], notes: list[str]) -> Cell:
    """A cell with the number of its note; a new note is added to `notes`."""
    if cell is None:
        return Cell("-", mark=NONE)
    number = ""
    if cell["note"]:
        if cell["note"] not in notes:
            notes.append(cell["note"])
        number = f" ({notes.index(cell['note']) + 1})"
    if cell["p50_ms"] is None:
        # A cell can be wrong without a time: an answer that is none.
        is_wrong = cell["status"] == STATUS_WRONG
        return Cell(f"{'WRONG' if is_wrong else 'not run'}{number}", mark=WRONG if is_wrong else NONE)
    detail = f"{cell['low_ms']:.1f} .. {cell['high_ms']:.1f}, n {cell['n_runs']}"
    place = ", ".join(filter(None, (cell["build"], cell["adapter"])))
    if cell["status"] == STATUS_WRONG:
        return Cell(f"WRONG {cell['p50_ms']:.1f}{number}", detail, place, WRONG)
    heat = round(HOTTEST * slowness(cell, row))
    return Cell(f"{cell['p50_ms']:.1f}{number}", detail, place, f"heat-{heat}")


def slowness(cell: Measured, row: Sequence[Measured]) -> float:
    """0 for the quickest right cell of the row, 1 for one ten times as slow or slower."""
    right = [each["p50_ms"] for each in row if each["p50_ms"] and each["status"] != STATUS_WRONG]
    if not right or not cell["p50_ms"]:
        return 0.0
    return min(max(math.log(cell["p50_ms"] / min(right)) / math.log(SLOWEST), 0.0), 1.0)
