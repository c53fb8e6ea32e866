"""`webinfer bench peers`: the same work through webinfer and its peers."""

from __future__ import annotations

import json

import click

from webinfer.commands.parameters import AS_JSON
from webinfer.tables import SafeConsole, output_console

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
    help="Number of rounds, all ways in turn.",
)
@click.option(
    "--requests",
    "n_jobs",
    default=30,
    show_default=True,
    type=click.IntRange(3, 10_000),
    help="Number of requests of each way in a round.",
)
@AS_JSON
def peers(names: tuple[str, ...], rounds: int, n_jobs: int, as_json: bool) -> None:
    """Compare webinfer with other ways to run the same models on the same inputs.

    Selenium by hand, Selenium Grid 4, Playwright, transformers.js in Node, onnxruntime in Python: each a
    short program, started beside the others and asked in turn, every answer checked. What is missing is
    fetched by npm; what cannot be had is listed with the reason. For text generation see `webinfer bench
    generation`.
    """
    from browser_runtime.settings import RuntimeSettings
    from webinfer.bench.peers.measuring import measure_peers
    from webinfer.bench.peers.report import claims, tabulate

    with SafeConsole(stderr=True).status("starting") as status:
        found = measure_peers(names, rounds, n_jobs, RuntimeSettings().cache_dir / "bench", status.update)
    if as_json:
        told = found.to_plain() | {"guide": [claim.to_plain() for claim in claims(found)]}
        click.echo(json.dumps(told, indent=2))
        return
    for table in tabulate(found):
        output_console().print(table)
