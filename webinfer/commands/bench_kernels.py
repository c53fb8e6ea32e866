"""`webinfer bench kernels`: the kernels of language models of few bits and of encoders."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from browser_runtime.contract.vocabulary import Backend, Browser
from webinfer.commands.parameters import AS_JSON, ONLY_BROWSERS, PICTURE
from webinfer.tables import output_console

BACKENDS = (Backend.WASM, Backend.WEBGPU)


@click.command("kernels")
@ONLY_BROWSERS
@click.option(
    "--backend",
    "backends",
    multiple=True,
    type=click.Choice([str(backend) for backend in BACKENDS]),
    help="Measure only this backend; repeatable. Default: both.",
)
@click.option("--cases", default="", help="Measure only cases whose names this regular expression finds.")
@PICTURE
@AS_JSON
def kernels(
    names: tuple[str, ...], backends: tuple[str, ...], cases: str, picture: Path | None, as_json: bool
) -> None:
    """Time every kernel of language models of few bits and of encoders, checked against plain JavaScript.

    Beside them onnxruntime-web's products of 2, 4 and 32 bits, a plain copy of memory in the same page and,
    for WebGPU, what it costs to read a number back.
    """
    from webinfer.bench.kernels import collect_kernels
    from webinfer.bench.kernels_picture import draw_products
    from webinfer.bench.kernels_table import show_places

    try:
        re.compile(cases)
    except re.error as error:
        text = f"{cases!r} is no regular expression: {error}"
        raise click.BadParameter(text, param_hint="--cases") from None
    browsers = [Browser(name) for name in names] or list(Browser)
    chosen = [Backend(name) for name in backends] or list(BACKENDS)
    with Console(stderr=True).status("starting") as status:
        places = collect_kernels(browsers, chosen, cases, status.update)
    if picture:
        picture.write_text(draw_products(places))
    if as_json:
        click.echo(json.dumps([asdict(place) for place in places], indent=2))
    else:
        show_places(output_console(), places)
