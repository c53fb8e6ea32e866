"""`webinfer bench noise`: how the time of one model wanders on this machine."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from webinfer.commands.laboratory import JSON_FILE, keep, watching
from webinfer.commands.parameters import ModelName, Number


@click.command("noise")
@click.option("--model", default="digits-vit", show_default=True, type=ModelName(), help="Model to run.")
@click.option(
    "--arm", "text", default="browser=chrome backend=wasm", show_default=True, help="Words as for compare."
)
@click.option(
    "--minutes", default=10.0, show_default=True, type=Number(0.05, 10_000, unit="minutes"), help="How long."
)
@click.option(
    "--every",
    "every_s",
    default=1.0,
    show_default=True,
    type=Number(0.05, 600, unit="seconds"),
    help="Seconds from one run to the next.",
)
@JSON_FILE
def noise(model: str, text: str, minutes: float, every_s: float, json_file: Path | None) -> None:
    """Record the time of one warm model, a run a second, with the machine's load beside each.

    The file holds every run; it is written each minute. Detection of regressions is tested on replays of such
    recordings.
    """
    from webinfer.bench.laboratory.arms import parse_arm
    from webinfer.bench.noise_recording import Recording, record

    def save(found: Recording) -> None:
        if str(json_file) != "-":
            keep(found.to_document(), json_file, no_history=True)

    arm = parse_arm(text, model, "--arm")
    with watching("starting") as watch:
        found = asyncio.run(record(arm, minutes, every_s, save, watch.tell))
    document = found.to_document()
    if str(json_file) == "-":
        keep(document, json_file, no_history=True)
    click.echo(document["verdict"], err=str(json_file) == "-")
