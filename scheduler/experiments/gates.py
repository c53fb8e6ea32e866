"""What a gate said of each cell. Pure."""

from __future__ import annotations

from scheduler.experiments.tables import NONE, WRONG, Cell, Column, Document, ResultTable, show_ratio, texts

BAD = ("slower", "wrong", "failed")
OPEN = ("not comparable", "unclear")


def tabulate_gate(document: Document) -> ResultTable:
    """A row a cell: its verdict and its ratio to the baseline."""
    rows = []
    for cell in document["cells"]:
        status, ratio = cell["status"], cell["ratio"]
        how = "in turn" if cell["is_paired"] else "to the file" if ratio else ""
        mark = WRONG if status in BAD else NONE if status in OPEN else ""
        shown = texts(*show_ratio(ratio), how, cell["text"])
        rows.append([Cell(cell["name"]), Cell(status, mark=mark), *shown])
    names = ("cell", "verdict", "to baseline", "95 %", "how", "why")
    columns = [Column(name, is_number=name in ("to baseline", "95 %")) for name in names]
    return ResultTable(columns, rows)
