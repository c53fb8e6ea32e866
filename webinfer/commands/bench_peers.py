"""`webinfer bench peers`: the same work through webinfer and its peers."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from webinfer import endings
from webinfer.commands.laboratory import JSON_FILE, NO_HISTORY, earlier, keep, result_console, save, watching

# The programs of webinfer.bench.peers.peer, which imports Selenium.
PROGRAMS = (
    "selenium_by_hand",
    "selenium_grid",
    "playwright_page",
    "transformers_node",
    "onnxruntime_python",
    "webinfer_in_process",
    "webinfer_queue",
)


@click.command("peers")
@click.option(
    "--only",
    "names",
    multiple=True,
    type=click.Choice(PROGRAMS),
    help="Measure only this program; repeatable. Default: all.",
)
@click.option(
    "--rounds",
    default=6,
    show_default=True,
    type=click.IntRange(2, 1000),
    help="Number of rounds, all ways in turn; those in the file of --json count.",
)
@click.option(
    "--requests",
    "n_jobs",
    default=30,
    show_default=True,
    type=click.IntRange(3, 10_000),
    help="Number of requests of each way in a round.",
)
@JSON_FILE
@NO_HISTORY
def peers(names: tuple[str, ...], rounds: int, n_jobs: int, json_file: Path | None, no_history: bool) -> None:
    """Compare webinfer with other ways to run the same models on the same inputs.

    Selenium by hand, Selenium Grid 4, Playwright, transformers.js in Node, onnxruntime in Python: each a
    short program, started beside the others and asked in turn, every answer checked. What is missing is
    fetched by npm; what cannot be had is listed with the reason. For text generation see `webinfer bench
    generation`. The file of --json is written after each round, and gone on with if it is there. Ctrl-C ends
    it with the rounds that are whole, kept and told as always; exit code 130.
    """
    from browser_runtime.settings import RuntimeSettings
    from scheduler.experiments.peers import tabulate_peers
    from webinfer.bench.laboratory.terminal import numbered, rich_table
    from webinfer.bench.peers.measuring import measure_peers
    from webinfer.bench.peers.report import make_peers_document, read_peers, tabulate_claims

    before = read_peers(earlier(json_file, "peers"))
    with watching("starting") as watch:
        found = measure_peers(
            names,
            rounds,
            n_jobs,
            RuntimeSettings().cache_dir / "bench",
            watch.tell,
            before,
            lambda found: save(make_peers_document(found), json_file),
        )
    document, console = make_peers_document(found), result_console(json_file)
    keep(document, json_file, no_history=no_history)
    table = tabulate_peers(document)
    console.print(rich_table(table))
    for note in numbered(table):
        console.print(note, markup=False)
    console.print(tabulate_claims(found))
    if found.is_cut:
        console.print(f"stopped after {found.n_rounds} of {rounds} rounds")
        sys.exit(endings.STOPPED)
