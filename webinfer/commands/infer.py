"""`webinfer infer`: inputs in, answers out, through the queue."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console

from webinfer.producing import collect, send
from webinfer.tables import output_console, print_replies
from webinfer.words import answer_text


@click.command("infer")
@click.option("--model-type", "-t", required=True, help="text_embedding, vision or audio.")
@click.option(
    "--model", "-m", "model_name", required=True, help="A model's name: see `webinfer models list`."
)
@click.option(
    "--backend", "backends", multiple=True, help="webgpu, webnn or wasm, in this order; repeatable."
)
@click.option("--browser", help="firefox, chrome or edge; default: the router's choice.")
@click.option(
    "--timeout", "timeout_s", default=300.0, show_default=True, help="Seconds to wait for an answer."
)
@click.option("--json", "as_json", is_flag=True, help="Print the whole reply of each input as JSON.")
@click.argument("inputs", nargs=-1, required=True)
def command(
    model_type: str,
    model_name: str,
    backends: tuple[str, ...],
    browser: str | None,
    timeout_s: float,
    as_json: bool,
    inputs: tuple[str, ...],
) -> None:
    """Send each INPUT (a text, or the path of an image or sound file) to a model and print the answers."""
    wish = list(backends) or None
    with Console(stderr=True).status("waiting for the answers"):
        pending = [
            send(
                model_type=model_type, model_name=model_name, inputs=one, priority_list=wish, browser=browser
            )
            for one in inputs
        ]
        replies = [collect(result, timeout_s) for result in pending]
    if as_json:
        click.echo(json.dumps(replies, indent=2, default=_plain))
    else:
        pairs = zip(inputs, replies, strict=True)
        rows = [(Path(told).name, answer_text(model_type, reply["output"]), reply) for told, reply in pairs]
        print_replies(output_console(), rows)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be JSON")
