"""A matrix of cells as every form of output, and what is gone on with."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.vocabulary import PAGE_BACKENDS, Browser, Precision
from browser_runtime.models.store import ModelStore
from scheduler.experiments.markdown import write_result
from scheduler.experiments.matrices import slowness, tabulate_matrix
from scheduler.history.history import History
from webinfer.bench.laboratory import matrix
from webinfer.bench.laboratory.documents import write_document
from webinfer.bench.laboratory.matrix_cells import (
    MEASURED,
    NOT_RUN,
    WRONG,
    Coordinates,
    Matrix,
    MatrixCell,
    Plan,
)
from webinfer.bench.laboratory.matrix_output import write_csv, write_html, write_parquet
from webinfer.bench.laboratory.terminal import numbered, rich_table
from webinfer.commands.matrix import command


def at(browser: str, backend: str, model: str = "digits-vit") -> Coordinates:
    return Coordinates(model, "fp32", 1, None, browser, backend)


CELLS = [
    MatrixCell(at("chrome", "wasm"), MEASURED, "", 2.0, 1.9, 2.1, 50, 300.0, 1.0, "Chromium 156", "CPU"),
    MatrixCell(at("chrome", "webgpu"), MEASURED, "", 20.0, 19.0, 21.0, 50, 900.0, 1.0),
    MatrixCell(at("edge", "webnn"), WRONG, "'9' instead of '7'", 1.0, 0.9, 1.1, 50, 300.0, 0.0),
    MatrixCell(at("firefox", "webnn"), NOT_RUN, "<no> such | interface"),
]

CELLS_ROWS = [cell.to_row() for cell in CELLS]
DOCUMENT = {"kind": "matrix", "version": 1, "verdict": "v", "cells": CELLS_ROWS}


def test_a_row_is_read_back() -> None:
    rows = json.loads(json.dumps([cell.to_row() for cell in CELLS]))
    assert [MatrixCell.from_row(row) for row in rows] == CELLS


def test_the_quickest_right_cell_is_what_others_are_compared_with() -> None:
    assert [slowness(cell, CELLS_ROWS) for cell in CELLS_ROWS[:3]] == [0.0, 1.0, 0.0]


def test_every_cell_is_planned_browser_by_browser() -> None:
    models = {"digits-vit": ModelStore().ensure("digits-vit")}
    plan = Plan(("digits-vit",), tuple(Browser), PAGE_BACKENDS, (), (1, 2), (None,), 1.0)
    found = list(plan.coordinates(models))
    assert len(found) == len(set(found)) == 18
    assert [each.browser for each in found] == sorted(
        (each.browser for each in found), key=list(Browser).index
    )
    assert {each.precision for each in found} == {str(Precision.FP32)}


def test_a_document_counts_its_cells() -> None:
    plan = Plan(("digits-vit",), tuple(Browser), PAGE_BACKENDS, (), (1,), (None,), 1.0)
    document = Matrix(plan, {cell.at: cell for cell in CELLS}, 9).document()
    assert document["verdict"] == (
        "4 of 9 cells: 2 measured, 1 wrong, 1 not run; digits-vit quickest on chrome wasm: 2.0 ms"
    )
    assert not document["is_complete"]


def test_a_wrong_cell_is_never_only_fast() -> None:
    table = tabulate_matrix(DOCUMENT)
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(rich_table(table))
    text = console.export_text()
    page, markdown = write_html(DOCUMENT, "m"), write_result(table)
    assert "WRONG 1.0 (1)" in text and "not run (2)" in text
    assert numbered(table) == ["(1) '9' instead of '7'", "(2) <no> such | interface"]
    assert re.search(r'<td class="number wrong">WRONG 1\.0', page) and "WRONG 1.0" in markdown


def test_the_page_loads_nothing_and_cannot_be_steered() -> None:
    page = write_html(DOCUMENT | {"verdict": "<b>"}, "<i>")
    assert "<no>" not in page and "<b>" not in page and "<script" not in page and "http:" not in page
    assert "default-src 'none'" in page and "heat-0" in page and "heat-10" in page
    assert r"\<no\> such \| interface" in write_result(tabulate_matrix(DOCUMENT))


def test_csv_and_parquet_have_a_row_a_cell(tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(write_csv(CELLS))))
    assert [row["status"] for row in rows] == [MEASURED, MEASURED, WRONG, NOT_RUN]
    write_parquet(CELLS, tmp_path / "cells.parquet")
    with History(":memory:") as database:
        found = database.read(f"FROM read_parquet('{tmp_path}/cells.parquet')")
    assert [MatrixCell.from_row(row) for row in found] == CELLS


def test_the_cells_of_a_file_stay_there_and_those_that_ran_out_of_time_are_run_with_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Coordinates] = []

    async def run_browser(settings: Any, store: Any, browser: Any, places: Any, *rest: Any) -> Any:
        for place in places:
            asked.append(place)
            yield MatrixCell(place, MEASURED, "", 3.0, 2.9, 3.1, 5)

    monkeypatch.setattr(matrix, "_run_browser", run_browser)
    path = tmp_path / "cells.json"
    old = MatrixCell(at("firefox", "wasm"), MEASURED, "", 2.0, 1.9, 2.1, 50, revision="0123")
    plan = Plan(("digits-vit",), tuple(Browser), PAGE_BACKENDS, (), (1,), (None,), 10.0)
    kept = {cell.at: cell for cell in [*CELLS, old]}
    path.write_text(write_document(Matrix(plan, kept, 9).document()))
    words = [
        "sentences-bert",
        "--browser",
        "edge",
        "--backend",
        "wasm",
        "--batch",
        "1",
        "--batch",
        "1",
        "--json",
        str(path),
        "--no-history",
    ]
    assert CliRunner().invoke(command, words).exit_code == 0
    assert [place.model for place in asked] == ["sentences-bert"]
    document = json.loads(path.read_text())
    assert (document["models"], len(document["cells"])) == (["sentences-bert", "digits-vit"], 6)
    assert document["verdict"].startswith("6 of 6 cells: ")
    asked.clear()
    words = ["digits-vit", "--browser", "firefox", "--backend", "webnn", "--backend", "wasm"]
    words += ["--json", str(path), "--no-history"]
    assert CliRunner().invoke(command, words).exit_code == 0
    assert asked == [at("firefox", "wasm")], "another revision of its model"
    asked.clear()
    assert CliRunner().invoke(command, [*words, "--ready-time", "120s"]).exit_code == 0
    assert asked == [at("firefox", "webnn")], "it had less time"


def test_ctrl_c_ends_it_with_the_cells_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    n_done = 1

    async def run_browser(settings: Any, store: Any, browser: Any, places: Any, *rest: Any) -> Any:
        for place in places[:n_done]:
            yield MatrixCell(place, MEASURED, "", 3.0, 2.9, 3.1, 5)
        raise asyncio.CancelledError

    monkeypatch.setattr(matrix, "_run_browser", run_browser)
    words = ["digits-vit", "--browser", "edge", "--no-history"]
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 130 and "1 of 3 cells: 1 measured" in done.output
    n_done = 0
    with pytest.raises(asyncio.CancelledError):
        CliRunner().invoke(command, words)


ODD_CELL = CELLS_ROWS[0] | {"p50_ms": "quick"}


@pytest.mark.parametrize(
    "change", [{"cells": [{"model": "m"}]}, {"cells": [ODD_CELL]}, {"machine": 7}, {"cell_s": None}]
)
def test_a_file_that_is_not_as_documented_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    plan = Plan(("digits-vit",), tuple(Browser), PAGE_BACKENDS, (), (1,), (None,), 10.0)
    path = tmp_path / "cells.json"
    path.write_text(json.dumps(Matrix(plan).document() | change))
    done = CliRunner().invoke(command, ["digits-vit", "--json", str(path)])
    assert isinstance(done.exception, BadInput)
    assert "which is not as documented" in str(done.exception)
