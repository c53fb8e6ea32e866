"""`webinfer bench encoders`: encoders in 8 bits beside onnxruntime."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from browser_runtime.contract.vocabulary import Browser
from webinfer.commands.parameters import AS_JSON, ONLY_BROWSERS, PICTURE
from webinfer.tables import SafeConsole, output_console


@click.command("encoders")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@ONLY_BROWSERS
@click.option(
    "--threads",
    type=click.IntRange(1, 16),
    default=1,
    show_default=True,
    help="Threads that onnxruntime may use, in a page and natively; the low-bit engine has one.",
)
@PICTURE
@AS_JSON
def encoders(folder: Path, names: tuple[str, ...], threads: int, picture: Path | None, as_json: bool) -> None:
    """Compare an encoder in 8bit with onnxruntime in pages and natively, in fp32 and its own int8.

    FOLDER holds a BERT or a ViT in safetensors. One text of 14 and of 110 tokens, or one image; in Edge on
    WebNN too.
    """
    from webinfer.bench.encoders import measure_encoders, tabulate_encoders
    from webinfer.bench.encoders_picture import draw_encoders

    chosen = [Browser(name) for name in names] or list(Browser)
    console = SafeConsole(stderr=True)
    with console.status("starting") as status:
        cells = measure_encoders(folder, chosen, status.update, console.print, threads)
    if picture:
        picture.write_text(draw_encoders(cells))
    if as_json:
        click.echo(json.dumps([asdict(cell) for cell in cells], indent=2))
    else:
        output_console().print(tabulate_encoders(cells))
