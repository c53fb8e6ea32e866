"""`webinfer matrix`: models by browser, backend, precision, batch and length."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from browser_runtime.contract.vocabulary import PAGE_BACKENDS, Browser, Precision, parse_backend
from webinfer import endings
from webinfer.commands.laboratory import DURATION, NO_HISTORY, earlier, keep, result_console, save, watching
from webinfer.commands.parameters import BACKENDS, BROWSERS, FILE_OR_OUTPUT, NEW_FILE, PRECISIONS, ModelName

if TYPE_CHECKING:
    from webinfer.bench.laboratory.matrix_cells import Coordinates, Matrix, MatrixCell


@click.command("matrix")
@click.argument("models", nargs=-1, required=True, type=ModelName())
@click.option("--browser", "browsers", multiple=True, type=BROWSERS, help="Only this browser; repeatable.")
@click.option("--backend", "backends", multiple=True, type=BACKENDS, help="Only this backend; repeatable.")
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    type=PRECISIONS,
    help="Precision of the weights; repeatable. Default: the usual one of each model.",
)
@click.option(
    "--batch",
    "batches",
    multiple=True,
    type=click.IntRange(1, 256),
    help="Items a request; repeatable. Default: 1.",
)
@click.option(
    "--length",
    "lengths",
    multiple=True,
    type=click.IntRange(1, 10_000),
    help="Words of each text; repeatable. Default: the model's own example.",
)
@click.option(
    "--cell-time",
    "cell_s",
    default="10s",
    show_default=True,
    type=DURATION,
    help="Longest time of a cell, once its model is ready.",
)
@click.option(
    "--ready-time",
    "ready_s",
    default="30s",
    show_default=True,
    type=DURATION,
    help="Longest time that a model may take to be loaded, compiled and warm in a cell.",
)
@click.option(
    "--json",
    "json_file",
    type=FILE_OR_OUTPUT,
    help="Write this file after every cell; if it is there, go on where it ends. - prints it.",
)
@click.option("--html", "html_file", type=NEW_FILE, help="Write a heat map as one page into this file.")
@click.option("--markdown", "markdown_file", type=NEW_FILE, help="Write a table into this file.")
@click.option("--csv", "csv_file", type=NEW_FILE, help="Write a row a cell into this file.")
@click.option("--parquet", "parquet_file", type=NEW_FILE, help="Likewise, as Parquet.")
@NO_HISTORY
def command(json_file: Path | None, no_history: bool, cell_s: float, ready_s: float, **wanted: Any) -> None:
    """Measure MODELS in every browser, backend, precision, batch and length.

    Every cell is run or has its reason; cells of one browser share a session. A cell whose answer is not that
    of Python's onnxruntime in the same precision is marked as wrong. Ctrl-C ends it with the cells that are
    there by then.
    """
    from webinfer.bench.laboratory.matrix import run_matrix
    from webinfer.bench.laboratory.matrix_cells import Plan

    plan = Plan(
        tuple(dict.fromkeys(wanted["models"])),
        tuple(Browser(name) for name in wanted["browsers"]) or tuple(Browser),
        tuple(dict.fromkeys(map(parse_backend, wanted["backends"]))) or PAGE_BACKENDS,
        tuple(Precision(name) for name in wanted["precisions"]),
        wanted["batches"] or (1,),
        wanted["lengths"] or (None,),
        cell_s,
        ready_s,
    )
    done = _earlier(json_file, cell_s, ready_s)
    with watching("starting") as watch:

        def show(matrix: Matrix) -> None:
            watch.note(f"{len(matrix.cells)} of {matrix.n_planned} cells")
            save(matrix.document(), json_file)

        matrix = asyncio.run(run_matrix(plan, done, watch.tell, show))
    document = matrix.document()
    keep(document, json_file, no_history=no_history)
    _write_files(document, list(matrix.cells.values()), wanted)
    _show(document, json_file)
    if not matrix.is_complete:
        sys.exit(endings.STOPPED)


def _earlier(path: Path | None, cell_s: float, ready_s: float) -> dict[Coordinates, MatrixCell]:
    """The cells in the file of an earlier run; without those that did not run, where there is more time now.

    Raises BadInput for a file of another machine or kind.
    """
    from browser_runtime.contract.errors import BadInput
    from scheduler.experiments.matrices import tabulate_matrix
    from webinfer.bench.laboratory.documents import reading
    from webinfer.bench.laboratory.machine import difference, this_machine
    from webinfer.bench.laboratory.matrix_cells import NOT_RUN, MatrixCell

    document = earlier(path, "matrix")
    if document is None:
        return {}
    with reading(str(path)):
        told = difference(document["machine"], this_machine().to_plain())
        has_more_time = cell_s > document["cell_s"] or ready_s > document["ready_s"]
        cells = [MatrixCell.from_row(row) for row in document["cells"]]
        tabulate_matrix(document)
    if told:
        raise BadInput("--json", f"{str(path)!r}, which cannot be gone on with ({told})", "another file")
    return {cell.at: cell for cell in cells if not (has_more_time and cell.status == NOT_RUN)}


def _write_files(document: dict[str, Any], cells: list[MatrixCell], wanted: dict[str, Any]) -> None:
    from scheduler.experiments.markdown import write_result
    from scheduler.experiments.matrices import tabulate_matrix
    from webinfer.bench.laboratory import matrix_output as output

    machine = document["machine"]
    line = (
        f"{machine['processor']}, {machine['n_processors']} processors, {machine['system']}, {document['at']}"
    )
    if path := wanted["html_file"]:
        path.write_text(output.write_html(document, line), encoding="utf-8")
    if path := wanted["markdown_file"]:
        path.write_text(write_result(tabulate_matrix(document)), encoding="utf-8")
    if path := wanted["csv_file"]:
        path.write_text(output.write_csv(cells), encoding="utf-8")
    if path := wanted["parquet_file"]:
        output.write_parquet(cells, path)


def _show(document: dict[str, Any], json_file: Path | None) -> None:
    from scheduler.experiments.matrices import tabulate_matrix
    from webinfer.bench.laboratory.terminal import numbered, rich_table

    table, console = tabulate_matrix(document), result_console(json_file)
    console.print(rich_table(table))
    for line in (*numbered(table), document["verdict"]):
        console.print(line, markup=False)
