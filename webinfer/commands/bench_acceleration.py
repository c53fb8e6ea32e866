"""`webinfer bench acceleration`: what each row of the table of acceleration brings."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click
from rich.table import Table

from browser_runtime.contract.acceleration import ACCELERATIONS
from browser_runtime.contract.vocabulary import Browser
from webinfer.bench.acceleration import Effect
from webinfer.commands.parameters import AS_JSON, ONLY_BROWSERS
from webinfer.tables import SafeConsole, output_console

STEPS = {"load_ms": "load", "first_ms": "first run", "prepare_ms": "preparing", "run_ms": "run"}


@click.command("acceleration")
@click.option(
    "--row",
    "rows",
    multiple=True,
    type=click.Choice(list(ACCELERATIONS)),
    help="Measure only this row of the table of acceleration; repeatable. Default: all.",
)
@ONLY_BROWSERS
@click.option("--model", default="", help="Measure only on this built-in model. Default: each row's own.")
@click.option(
    "--repeats",
    default=10,
    show_default=True,
    type=click.IntRange(2, 1000),
    help="Times that every item is sent to a loaded model in a session.",
)
@AS_JSON
def acceleration(
    rows: tuple[str, ...], names: tuple[str, ...], model: str, repeats: int, as_json: bool
) -> None:
    """Measure what each row of the table of acceleration brings.

    The same requests with the row on and off in turn, in four fresh sessions each: what loading takes, the
    first request, and further ones.
    """
    from webinfer.bench.acceleration import choose_rows, measure_acceleration

    chosen = choose_rows(rows, model)
    browsers = [Browser(name) for name in names] or list(Browser)
    with SafeConsole(stderr=True).status("starting") as status:
        found = measure_acceleration(chosen, browsers, model, repeats, status.update)
    if as_json:
        click.echo(json.dumps([effect.to_plain() for effect in found], indent=2))
    else:
        _show(found)


def _show(found: Sequence[Effect]) -> None:
    table = Table("row", "model", "where", *STEPS.values(), title="milliseconds, off -> on (off / on)")
    console = output_console()
    for effect in found:
        place = f"{effect.browser} {effect.backend}, {effect.adapter}"
        if effect.problem:
            console.print(f"- {effect.row}, {effect.model}, {place}: {effect.problem}", markup=False)
            continue
        on, off, ratios = effect.on.medians(), effect.off.medians(), effect.ratios()
        cells = [f"{off[step]:.1f} -> {on[step]:.1f} ({ratios.get(step, 1):.2f}x)" for step in STEPS]
        for each in effect.front_ends:
            times = f"{each['short_ms']:.1f} ms a second of sound, {each['long_ms']:.1f} ms a window"
            console.print(f"- {effect.model}, {place}: {each['kernels']} alone {times}", markup=False)
        table.add_row(effect.row, effect.model, place, *cells)
    console.print(table)
