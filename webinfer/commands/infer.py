"""`webinfer infer`: inputs in, answers out, through the queue."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.live import Live

from browser_runtime.contract.errors import BadInput, InferenceError
from browser_runtime.contract.options import check_options
from browser_runtime.contract.vocabulary import Family, parse_family
from webinfer.commands.parameters import (
    BACKENDS,
    BROWSERS,
    FAMILIES,
    PRECISIONS,
    SECONDS,
    Input,
    ModelName,
    RequestOption,
)
from webinfer.producing import Answer, ask_all
from webinfer.tables import ReplyTable, output_console
from webinfer.words import answer_text

STDIN = "-"
LONGEST_NAME = 40


@click.command("infer")
@click.option("--model-type", "-t", required=True, type=FAMILIES, is_eager=True, help="What the model does.")
@click.option(
    "--model", "-m", "model_name", required=True, type=ModelName(), help="See `webinfer models list`."
)
@click.option("--precision", default="fp32", show_default=True, type=PRECISIONS, help="Of the weights.")
@click.option("--backend", "backends", multiple=True, type=BACKENDS, help="In this order; repeatable.")
@click.option("--browser", type=BROWSERS, help="Default: the router's choice.")
@click.option(
    "--option",
    "-o",
    "options",
    multiple=True,
    type=RequestOption(),
    help="One of the family's options, like top_k=3; repeatable.",
)
@click.option("--deadline", "deadline_s", type=SECONDS, help="Seconds after which a run is given up.")
@click.option("--priority", type=click.IntRange(0, 9), help="0 comes before 9 in a queue; default: 0.")
@click.option(
    "--timeout", "timeout_s", default=300.0, show_default=True, type=SECONDS, help="Seconds to wait in all."
)
@click.option("--json", "as_json", is_flag=True, help="Print a list with the whole reply of each input.")
@click.argument("inputs", nargs=-1, required=True, type=Input())
def command(
    inputs: tuple[str, ...],
    timeout_s: float,
    priority: int | None,
    as_json: bool,
    options: tuple[tuple[str, Any], ...],
    backends: tuple[str, ...],
    **asked: Any,
) -> None:
    """Send each INPUT to a model and print the answers as they come.

    An INPUT is a text, or the path of an image or sound file; - is standard input. An input that fails costs
    no other its answer; the exit code is then 1.
    """
    family = parse_family(asked["model_type"], "--model-type")
    asked |= {"options": read_options(options, family), "priority_list": list(backends) or None}
    requests = [asked | {"inputs": found} for found in read_inputs(inputs, family)]
    answers = ask_all(requests, timeout_s, priority=priority)
    names = [name_input(one, family) for one in inputs]
    failed = print_json(answers, names) if as_json else print_table(answers, names, family)
    sys.exit(1 if failed else 0)


def read_options(pairs: tuple[tuple[str, Any], ...], family: Family) -> dict[str, Any]:
    """The options by name. Raises BadInput for one that the family has not, or that is given twice."""
    for name, n in Counter(name for name, _ in pairs).items():
        if n > 1:
            raise BadInput("--option", f"{name} {n} times", "given once a name")
    return check_options(dict(pairs), family)


def read_inputs(inputs: tuple[str, ...], family: Family) -> list[str | bytes]:
    """The inputs, with what standard input holds in the place of `-`. Raises BadInput."""
    if inputs.count(STDIN) > 1:
        raise BadInput("INPUT", f"{STDIN!r} more than once", "at most one standard input")
    return [_read_stdin(family) if one == STDIN else one for one in inputs]


def _read_stdin(family: Family) -> str | bytes:
    """A text without its last end of line, or the bytes of a file."""
    data = sys.stdin.buffer.read()
    if family is not Family.TEXT_EMBEDDING:
        return data
    try:
        return data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise BadInput("standard input", f"not UTF-8 at byte {error.start}", "a text in UTF-8") from error


def name_input(one: str, family: Family) -> str:
    """What an input is called in the table."""
    if one == STDIN:
        return "standard input"
    if family is not Family.TEXT_EMBEDDING:
        return Path(one).name
    return one if len(one) <= LONGEST_NAME else one[: LONGEST_NAME - 3] + "..."


def print_table(answers: Any, names: list[str], family: Family) -> int:
    """A row an answer, each as it comes; then a sentence for each that failed. How many those are."""
    console, table = output_console(), None
    failures: dict[int, InferenceError] = {}
    with Live(console=console, auto_refresh=False) as live:
        for number, answer in answers:
            if isinstance(answer, InferenceError):
                failures[number] = answer
                continue
            table = table or ReplyTable(console)
            table.add(names[number], answer_text(str(family), answer["output"]), answer)
            live.update(table.table, refresh=True)
    for number, error in sorted(failures.items()):
        where = f"{names[number]}: " if len(names) > 1 else ""
        click.echo(f"webinfer: {where}{error}", err=True)
    return len(failures)


def print_json(answers: Any, names: list[str]) -> int:
    """All replies in the order of the inputs, an error in the place of one that failed. How many failed."""
    found: dict[int, Answer] = dict(answers)
    plain = [_plain_answer(found[number], name) for number, name in enumerate(names)]
    click.echo(json.dumps(plain, indent=2, default=_plain))
    failed = [answer for answer in found.values() if isinstance(answer, InferenceError)]
    for error in failed if len(names) == 1 else ():
        click.echo(f"webinfer: {error}", err=True)
    return len(failed)


def _plain_answer(answer: Answer, name: str) -> dict[str, Any]:
    if not isinstance(answer, InferenceError):
        return answer
    return {"success": False, "input": name, "error": {"code": answer.code(), "message": str(answer)}}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be JSON")
