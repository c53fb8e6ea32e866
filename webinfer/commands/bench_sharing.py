"""`webinfer bench sharing`: what sharing between models saves."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.table import Table

from scheduler.files import write_whole
from webinfer.commands.parameters import AS_JSON, BROWSER, NEW_FILE
from webinfer.tables import SafeConsole, output_console

WORKFLOWS = ("picture", "sound", "text")


@click.command("sharing")
@BROWSER
@click.option(
    "--text-model",
    default="sentences-bert",
    show_default=True,
    help="Sentence model whose encoder several heads share.",
)
@click.option(
    "--inputs",
    "n_inputs",
    default=6,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="Number of distinct pictures, sounds and texts.",
)
@click.option(
    "--repeats",
    default=3,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="Times that each of them comes.",
)
@click.option(
    "--workflow",
    "workflows",
    multiple=True,
    type=click.Choice(WORKFLOWS),
    help="Measure only this one; repeatable. Default: all three.",
)
@click.option(
    "--resume",
    type=NEW_FILE,
    help="Keep what is measured in this file, workflow by workflow, and measure nothing that it holds.",
)
@AS_JSON
def sharing(
    browser: str,
    text_model: str,
    n_inputs: int,
    repeats: int,
    workflows: tuple[str, ...],
    resume: Path | None,
    as_json: bool,
) -> None:
    """Measure what sharing between models saves: memory, and time where inputs repeat.

    Three workflows, with sharing on and off in turn: a picture, a sound and a text, each through several
    models. A long measurement can be made in pieces, with --workflow and the same --resume file.
    """
    from webinfer.bench.sharing import Inputs, SharingRun, measure_sharing

    run = SharingRun(browser, text_model, Inputs(n_inputs, repeats))
    if resume is not None and resume.exists():
        run = run.continued(_read(resume), str(resume))
    with SafeConsole(stderr=True).status("starting") as status:
        for name, found in measure_sharing(run, workflows or WORKFLOWS, status.update):
            run.workflows[name] = found
            if resume is not None:
                _write(resume, json.dumps(run.to_plain(), indent=2))
    if as_json:
        click.echo(json.dumps(run.to_plain(), indent=2))
        return
    columns = ("workflow", "weights MB", "saved", "PSS MB", "saved", "requests/s", "speed-up", "answers")
    table = Table(*columns, title=f"sharing on against off, {browser}")
    for each in run.workflows.values():
        on, off = each.on, each.off
        table.add_row(
            each.name,
            f"{off.held_mb:.1f} -> {on.held_mb:.1f}",
            f"{each.saved_weights:.0%}",
            f"{off.pss_mb:.0f} -> {on.pss_mb:.0f}",
            f"{each.saved_pss:.0%}",
            f"{off.per_s:.1f} -> {on.per_s:.1f}",
            f"{each.speed_up:.2f}x",
            "equal to the bit" if each.answers_equal else "differ",
        )
    output_console().print(table)


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{path} cannot be read: {error}", param_hint="--resume") from error


def _write(path: Path, text: str) -> None:
    try:
        write_whole(path, text)
    except OSError as error:
        raise click.ClickException(f"--resume {path} cannot be written: {error.strerror}") from error
