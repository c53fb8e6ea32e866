"""A matrix as a table for terminals, as Markdown, CSV, Parquet, and as one HTML page that loads nothing."""

from __future__ import annotations

import csv
import html
import io
import json
import math
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from scheduler.history.history import History
from scheduler.reports.writing import escape_markdown
from webinfer.bench.laboratory.matrix import NOT_RUN, WRONG, Coordinates, MatrixCell

Row = tuple[str, str, int, int | None]
"""Model, precision, batch, length."""
Column = tuple[str, str]
"""Browser, backend."""
Grid = Mapping[tuple[Row, Column], MatrixCell]

# From the quickest of a row to one ten times as slow: white to blue, which all eyes tell apart.
SLOWEST = 10.0
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem;color:#1b1b1b;background:#fff}
table{border-collapse:collapse}th,td{border:1px solid #c8c8c8;padding:.35rem .6rem;text-align:right}
th{background:#f2f2f2;font-weight:600}th[scope=row]{text-align:left}
td.none{color:#6b6b6b;background:#fafafa;text-align:center}
td.wrong{background:repeating-linear-gradient(45deg,#fff,#fff 6px,#f6c9b8 6px,#f6c9b8 12px);color:#8a1c00;
font-weight:600}
small{display:block;font-size:.75rem;font-weight:400}ol{max-width:70rem}
"""


def grid(cells: Iterable[MatrixCell]) -> tuple[list[Row], list[Column], Grid]:
    """Rows, columns and cells by both, in the order in which they come."""
    listed = list(cells)
    rows = list(dict.fromkeys(_row(cell.at) for cell in listed))
    columns = list(dict.fromkeys((cell.at.browser, cell.at.backend) for cell in listed))
    return rows, columns, {(_row(cell.at), (cell.at.browser, cell.at.backend)): cell for cell in listed}


def _row(at: Coordinates) -> Row:
    return (at.model, at.precision, at.batch, at.length)


def _name(row: Row) -> str:
    model, precision, batch, length = row
    return f"{model} {precision}, batch {batch}" + ("" if length is None else f", length {length}")


def slowness(cell: MatrixCell, row: Sequence[MatrixCell]) -> float:
    """0 for the quickest right cell of the row, 1 for one ten times as slow or slower."""
    right = [each.p50_ms for each in row if each.p50_ms and each.status != WRONG]
    if not right or not cell.p50_ms:
        return 0.0
    return min(max(math.log(cell.p50_ms / min(right)) / math.log(SLOWEST), 0.0), 1.0)


def _show(cell: MatrixCell | None, notes: list[str]) -> str:
    """A cell's text, with the number of its note."""
    if cell is None:
        return "-"
    mark = ""
    if cell.note:
        if cell.note not in notes:
            notes.append(cell.note)
        mark = f" ({notes.index(cell.note) + 1})"
    if cell.p50_ms is None:
        return f"not run{mark}"
    wrong = "WRONG " if cell.status == WRONG else ""
    return f"{wrong}{cell.p50_ms:.1f}{mark}"


def tabulate(cells: Iterable[MatrixCell]) -> tuple[Table, list[str]]:
    """The heat map for a terminal, and its notes."""
    rows, columns, found = grid(cells)
    table = Table("ms a request, median", *(f"{browser}\n{backend}" for browser, backend in columns))
    notes: list[str] = []
    for row in rows:
        mine = [cell for (place, _), cell in found.items() if place == row]
        texts = []
        for column in columns:
            cell = found.get((row, column))
            texts.append(Text(_show(cell, notes), style=_terminal_style(cell, mine), justify="right"))
        table.add_row(_name(row), *texts)
    return table, [f"({number}) {note}" for number, note in enumerate(notes, 1)]


def _terminal_style(cell: MatrixCell | None, row: Sequence[MatrixCell]) -> str:
    if cell is None or cell.status == NOT_RUN:
        return "dim"
    if cell.status == WRONG:
        return "bold red"
    place = slowness(cell, row)
    return "bold" if place == 0 else "default" if place < 0.5 else "blue"


def write_markdown(cells: Iterable[MatrixCell]) -> str:
    """A table with its notes."""
    rows, columns, found = grid(cells)
    notes: list[str] = []
    head = ["ms a request, median", *(f"{browser} {backend}" for browser, backend in columns)]
    lines = ["| " + " | ".join(map(escape_markdown, head)) + " |", "|---" * len(head) + "|"]
    for row in rows:
        texts = [_show(found.get((row, column)), notes) for column in columns]
        lines.append("| " + " | ".join(map(escape_markdown, (_name(row), *texts))) + " |")
    lines += ["", *(f"{number}. {escape_markdown(note)}" for number, note in enumerate(notes, 1))]
    return "\n".join([*lines, ""])


def write_csv(cells: Iterable[MatrixCell]) -> str:
    """A row a cell."""
    text, names = io.StringIO(), list(MatrixCell(Coordinates("", "", 1, None, "", ""), NOT_RUN).to_row())
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(cell.to_row() for cell in cells)
    return text.getvalue()


def write_parquet(cells: Iterable[MatrixCell], path: Path) -> None:
    """A row a cell, typed."""
    with tempfile.TemporaryDirectory(prefix="webinfer-matrix-") as folder, History(":memory:") as database:
        lines = Path(folder) / "cells.json"
        lines.write_text("\n".join(json.dumps(cell.to_row()) for cell in cells))
        source = f"read_json('{lines}', format = 'newline_delimited', columns = {PARQUET_COLUMNS})"
        target = str(path).replace("'", "''")
        database.read(f"COPY (FROM {source}) TO '{target}' (FORMAT parquet)")


PARQUET_COLUMNS = (
    "{model: 'VARCHAR', precision: 'VARCHAR', batch: 'INTEGER', length: 'INTEGER', browser: 'VARCHAR', "
    "backend: 'VARCHAR', status: 'VARCHAR', note: 'VARCHAR', p50_ms: 'DOUBLE', low_ms: 'DOUBLE', "
    "high_ms: 'DOUBLE', n_runs: 'INTEGER', ready_ms: 'DOUBLE', closeness: 'DOUBLE', build: 'VARCHAR', "
    "adapter: 'VARCHAR'}"
)


def write_html(cells: Iterable[MatrixCell], verdict: str, machine: str) -> str:
    """One page that loads nothing and runs no script."""
    rows, columns, found = grid(cells)
    notes: list[str] = []
    head = "".join(f"<th scope=col>{html.escape(b)}<small>{html.escape(e)}</small></th>" for b, e in columns)
    body = []
    for row in rows:
        mine = [cell for (place, _), cell in found.items() if place == row]
        line = "".join(_html_cell(found.get((row, column)), mine, notes) for column in columns)
        body.append(f"<tr><th scope=row>{html.escape(_name(row))}</th>{line}</tr>")
    listed = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>webinfer matrix</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><style>{STYLE}</style>'
        f"<h1>webinfer matrix</h1><p>{html.escape(verdict)}<br>{html.escape(machine)}</p>"
        "<p>Milliseconds a request, median; below it the quartiles and the runs. White is the quickest of a "
        "row, full blue ten times as slow. Hatched cells answer wrongly.</p>"
        f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
        f"<ol>{listed}</ol></html>\n"
    )


def _html_cell(cell: MatrixCell | None, row: Sequence[MatrixCell], notes: list[str]) -> str:
    text = html.escape(_show(cell, notes))
    if cell is None or cell.p50_ms is None:
        return f"<td class=none>{text}</td>"
    detail = f"<small>{cell.low_ms:.1f} .. {cell.high_ms:.1f}, n {cell.n_runs}</small>"
    title = html.escape(f"{cell.build}, {cell.adapter}")
    if cell.status == WRONG:
        return f'<td class=wrong title="{title}">{text}{detail}</td>'
    place = slowness(cell, row)
    red, green, blue = (round(255 + (end - 255) * place) for end in (86, 140, 200))
    return f'<td style="background:rgb({red},{green},{blue})" title="{title}">{text}{detail}</td>'
