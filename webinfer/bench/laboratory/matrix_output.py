"""A matrix as CSV, as Parquet, and as one HTML page that loads nothing."""

from __future__ import annotations

import csv
import html
import io
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

from scheduler.experiments.html import STYLE_FILE, write_result
from scheduler.experiments.matrices import tabulate_matrix
from scheduler.history.history import History
from webinfer.bench.laboratory.documents import Document
from webinfer.bench.laboratory.matrix_cells import NOT_RUN, Coordinates, MatrixCell

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem;color:#1b1b1b;background:#fff}
"""


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
    "adapter: 'VARCHAR', revision: 'VARCHAR'}"
)


def write_html(document: Document, machine: str) -> str:
    """One page that loads nothing and runs no script."""
    styles = STYLE + STYLE_FILE.read_text(encoding="utf-8")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>webinfer matrix</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><style>{styles}</style>'
        f"<h1>webinfer matrix</h1><p>{html.escape(document['verdict'])}<br>{html.escape(machine)}</p>"
        f"{write_result(tabulate_matrix(document), 'matrix')}</html>\n"
    )
