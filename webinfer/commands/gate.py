"""`webinfer gate`: fails where a set of models has become slower, or answers otherwise."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from browser_runtime.contract.errors import BadInput, InferenceError
from webinfer.commands.laboratory import (
    JSON_FILE,
    NO_HISTORY,
    PERCENT,
    earlier,
    keep,
    result_console,
    save,
    watching,
)
from webinfer.commands.parameters import NEW_FILE

if TYPE_CHECKING:
    from webinfer.bench.laboratory.documents import Document
    from webinfer.bench.laboratory.gate_set import GateSet

HISTORY = "history"


@click.command("gate")
@click.argument("set_file", metavar="SET", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--against",
    metavar="FILE|history",
    help="The baseline: the file of an earlier run (--json), or of each cell the last run in the history "
    "that was no alarm. Default: only what the set names itself.",
)
@click.option(
    "--fail-above", type=PERCENT, help="Fail if slower by more than this. Default: the set's, else 5%."
)
@click.option(
    "--repeat",
    "n_repeats",
    type=click.IntRange(2, 1000),
    help="Run the set this often and tell how often it alarms. Goes on with the file of --json.",
)
@click.option("--junit", "junit_file", type=NEW_FILE, help="Write JUnit's XML into this file.")
@JSON_FILE
@NO_HISTORY
def command(
    set_file: Path,
    against: str | None,
    fail_above: float | None,
    n_repeats: int | None,
    junit_file: Path | None,
    json_file: Path | None,
    no_history: bool,
) -> None:
    """Fail where a SET (a TOML file) of models became slower, or answers otherwise, than a baseline.

    Exit code: 0 passed; 1 slower, wrong or did not run; 2 wrong usage; 3 not comparable or not clear; 130
    Ctrl-C, which ends it with the cells that were judged by then. In a GitHub workflow it also writes
    annotations and the step summary.
    """
    from scheduler.experiments.gates import tabulate_gate
    from webinfer.bench.laboratory import gate, gate_reports
    from webinfer.bench.laboratory.gate_set import read_set
    from webinfer.bench.laboratory.terminal import rich_table

    summary = _find_summary()
    try:
        wanted = read_set(set_file, fail_above)
        before = _baseline(against, wanted)
    except InferenceError as error:
        raise click.UsageError(str(error)) from None
    if n_repeats is not None:
        if junit_file:
            raise click.UsageError("--junit is of one run: leave it out, or --repeat")
        sys.exit(_repeat(wanted, before, n_repeats, json_file, no_history=no_history))
    with watching("starting") as watch:
        show = lambda result: watch.note(f"{result.cell.name}: {result.status}")  # noqa: E731
        results = asyncio.run(gate.run_gate(wanted, before, watch.tell, show))
    if all(result.status is gate.Status.STOPPED for result in results):
        raise click.Abort
    document = gate.gate_document(wanted, results)
    keep(document, json_file, no_history=no_history)
    result_console(json_file).print(rich_table(tabulate_gate(document), f"gate {wanted.name}"))
    if junit_file:
        junit_file.write_text(gate_reports.junit(wanted.name, results), encoding="utf-8")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in gate_reports.annotate(results):
            click.echo(line, err=str(json_file) == "-")  # GitHub reads both
    if summary:
        with summary.open("a", encoding="utf-8") as file:
            file.write(gate_reports.markdown(wanted.name, results))
    sys.exit(gate.exit_code(results))


def _find_summary() -> Path | None:
    """The file of the step summary, if there is one. Raises UsageError if it cannot be written."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    try:
        return NEW_FILE.convert(path, None, None) if path else None
    except click.BadParameter as error:
        raise click.UsageError(f"GITHUB_STEP_SUMMARY: {error.message}") from None


def _repeat(
    wanted: GateSet, before: Document | None, n: int, json_file: Path | None, *, no_history: bool
) -> int:
    """Run the set `n` times, or what is left of them; returns the exit code. Raises BadInput."""
    from scheduler.experiments.gates import tabulate_repeats
    from webinfer.bench.laboratory.gate_repeats import KIND, Repeats, repeat_gate, resume
    from webinfer.bench.laboratory.terminal import rich_table

    repeats = resume(wanted, n, earlier(json_file, KIND))
    with watching("starting") as watch:

        def note(found: Repeats) -> None:
            watch.note(found.sentence())
            save(found.document(), json_file)

        asyncio.run(repeat_gate(repeats, before, watch.tell, note))
    if not repeats.runs:
        raise click.Abort
    document, console = repeats.document(), result_console(json_file)
    keep(document, json_file, no_history=no_history)
    console.print(rich_table(tabulate_repeats(document), f"gate {wanted.name}, {len(repeats.runs)} times"))
    console.print(document["verdict"], style="bold", markup=False)
    return repeats.exit_code


def _baseline(against: str | None, wanted: GateSet) -> Document | None:
    """The earlier run; None where none is asked for. Raises BadInput, HistoryUnavailable."""
    from webinfer.bench.laboratory.documents import read_document
    from webinfer.bench.laboratory.gate import latest_measurements, require_baseline
    from webinfer.bench.laboratory.keeping import find_experiments

    if against is None:
        return None
    if against != HISTORY:
        path = Path(against)
        if not path.is_file():
            raise BadInput("--against", repr(against), "a file that is there, or history")
        return require_baseline(read_document(path, "gate"), against)
    found = [each for each in find_experiments("gate") if each.get("set") == wanted.name]
    if not found:
        raise BadInput("--against", "history", f"a file: the history has no run of the set {wanted.name!r}")
    return latest_measurements([require_baseline(each, HISTORY) for each in found])
