"""The table of a document that came from somewhere. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from scheduler.experiments.comparisons import tabulate_comparison
from scheduler.experiments.gates import tabulate_gate, tabulate_repeats
from scheduler.experiments.loads import tabulate_load
from scheduler.experiments.matrices import tabulate_matrix
from scheduler.experiments.peers import tabulate_peers
from scheduler.experiments.tables import Document, ResultTable

TABLES: Mapping[str, Callable[[Document], ResultTable]] = {
    "compare": tabulate_comparison,
    "matrix": tabulate_matrix,
    "gate": tabulate_gate,
    "gate-repeats": tabulate_repeats,
    "peers": tabulate_peers,
    "load": tabulate_load,
}
VERSION = 1
# More is no experiment, and no page could show it.
MAX_CELLS = 20_000


def read_table(document: Any) -> ResultTable | None:
    """The table of a document; None for one that is of another version, too large, or not as documented."""
    try:
        if document["version"] != VERSION:
            return None
        table = TABLES[document["kind"]](document)
        return table if _is_fit_to_show(table) else None
    except (AttributeError, ArithmeticError, LookupError, TypeError, ValueError):
        return None


def _is_fit_to_show(table: ResultTable) -> bool:
    """True for a table of text, and of no more cells than a page can show."""
    cells = [cell for row in table.rows for cell in row]
    words = [word for cell in cells for word in (cell.text, cell.detail, cell.place)]
    words += [word for column in table.columns for word in (column.name, column.below)]
    return len(cells) <= MAX_CELLS and all(isinstance(word, str) for word in (*words, *table.notes))
