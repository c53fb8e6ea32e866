"""What a gate said of each cell, once or many times. Pure."""

from __future__ import annotations

from collections import Counter
from statistics import median

from scheduler.experiments.tables import NONE, WRONG, Cell, Column, Document, ResultTable, show_ratio, texts

BAD = ("slower", "wrong", "failed")
PASSED = ("passed", "measured")
OPEN = ("not comparable", "unclear", "stopped")


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


def tabulate_repeats(document: Document) -> ResultTable:
    """A row a cell: how often it passed, alarmed or was not clear, and the ratios that it measured."""
    rows = []
    for name in dict.fromkeys(cell["name"] for run in document["runs"] for cell in run["cells"]):
        cells = [cell for run in document["runs"] for cell in run["cells"] if cell["name"] == name]
        counts = Counter(cell["status"] for cell in cells)
        ratios = [cell["ratio"]["ratio"] for cell in cells if cell["ratio"] and cell["ratio"]["ratio"]]
        range_ = f"{min(ratios):.3f} .. {max(ratios):.3f}" if ratios else "-"
        n_bad = sum(counts[status] for status in BAD)
        others = ", ".join(f"{n} {status}" for status, n in counts.items() if status not in PASSED)
        shown = texts(str(len(cells)), str(sum(counts[status] for status in PASSED)))
        shown += [Cell(str(n_bad), mark=WRONG if n_bad else ""), Cell(others)]
        rows.append([Cell(name), *shown, *texts(f"{median(ratios):.3f}" if ratios else "-", range_)])
    columns = [*map(Column, ("runs", "passed", "alarms")), Column("others", is_number=False)]
    return ResultTable(
        [Column("cell", is_number=False), *columns, Column("median ratio"), Column("ratios")], rows
    )
