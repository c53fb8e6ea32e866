"""`webinfer infer`: sends inputs to a model through the queue and prints the answers."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.live import Live

from browser_runtime.contract.errors import BadInput, InferenceError
from browser_runtime.contract.families import inputs_of, parse_family
from browser_runtime.contract.option import Kind
from browser_runtime.contract.options import check_options, options_of
from browser_runtime.contract.vocabulary import Family
from webinfer.commands.parameters import (
    BACKENDS,
    BROWSERS,
    MODEL_TYPES,
    PRECISIONS,
    SECONDS,
    Input,
    ModelName,
    RequestOption,
)
from webinfer.producing import Answer, ask_all, open_stream
from webinfer.tables import ReplyTable, output_console
from webinfer.words import answer_text, say

STDIN = "-"
LONGEST_NAME = 40


@click.command("infer")
@click.option("--model-type", "-t", required=True, type=MODEL_TYPES, is_eager=True, help="The kind of model.")
@click.option(
    "--model",
    "-m",
    "model_name",
    required=True,
    type=ModelName(),
    help="Name of the model; `webinfer models list` shows all.",
)
@click.option(
    "--precision",
    type=PRECISIONS,
    help="Precision of the weights. Default: fp32; 4bit for text generation.",
)
@click.option(
    "--backend",
    "backends",
    multiple=True,
    type=BACKENDS,
    help="Backend to compute on; repeat it to name others to try if that fails. Default: any.",
)
@click.option("--browser", type=BROWSERS, help="Browser to run in. Default: chosen by measured speed.")
@click.option(
    "--option",
    "-o",
    "options",
    multiple=True,
    type=RequestOption(),
    help="Option of this kind of model, like top_k=3; repeatable. See docs/celery.md.",
)
@click.option(
    "--deadline",
    "deadline_s",
    type=SECONDS,
    help="Seconds after which the worker gives up an input. Default: WEBINFER_RUN_TIMEOUT_S for each run.",
)
@click.option(
    "--priority", type=click.IntRange(0, 9), help="Place in the queue: 0 is served first, 9 last. Default: 0."
)
@click.option(
    "--timeout",
    "timeout_s",
    default=300.0,
    show_default=True,
    type=SECONDS,
    help="Seconds to wait for all answers together; what is missing then is cancelled.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print the complete replies as a JSON list, in the order of the inputs.",
)
@click.option(
    "--no-chat",
    is_flag=True,
    help="Text generation: go on with the text itself. Default: it is a question to the model, as in a chat.",
)
@click.option("--ask", "question", help="Multimodal: a question about the images, all of them together.")
@click.argument("inputs", nargs=-1, required=True, type=Input())
def command(
    inputs: tuple[str, ...],
    timeout_s: float,
    priority: int | None,
    as_json: bool,
    no_chat: bool,
    question: str | None,
    options: tuple[tuple[str, Any], ...],
    backends: tuple[str, ...],
    **asked: Any,
) -> None:
    """Send each INPUT to a model and print the answers as they arrive.

    An INPUT is a text, or the path of an image or sound file; - reads standard input. Each input is a request
    of its own: if one fails, the others are still answered, and the exit code is 1. Generated text is printed
    as it comes, where there is one input.

    Needs a running Redis and a worker: start `webinfer up` in another terminal, or set WEBINFER_BROKER_URL.
    """
    family = parse_family(asked["model_type"], "--model-type")
    is_chat = inputs_of(family).may_be_chats
    if no_chat and not is_chat:
        raise BadInput("--no-chat", f"given for {family}", "left out, but for text_generation")
    asked |= {"options": read_options(options, family), "priority_list": list(backends) or None}
    found: list[Any] = read_inputs(inputs, family)
    if question is not None:
        if family is not Family.MULTIMODAL:
            raise BadInput("--ask", f"given for {family}", f"left out, but for {Family.MULTIMODAL}")
        inputs, found = inputs[:1], [{"images": found, "text": question}]
    requests = [
        asked | {"inputs": one} for one in (as_questions(found) if is_chat and not no_chat else found)
    ]
    if (is_chat or question is not None) and len(requests) == 1 and not as_json:
        print_stream(requests[0], timeout_s, priority)
        return
    answers = ask_all(requests, timeout_s, priority=priority)
    names = [name_input(one, family) for one in inputs]
    failed = print_json(answers, names) if as_json else print_table(answers, names)
    sys.exit(1 if failed else 0)


def as_questions(texts: list[Any]) -> list[Any]:
    """Each text as a chat's one question."""
    return [[{"role": "user", "content": text}] for text in texts]


def print_stream(request: dict[str, Any], timeout_s: float, priority: int | None) -> None:
    """Print the text as it is generated. Raises InferenceError."""
    with open_stream(request, timeout_s, priority=priority) as pieces:
        for piece in pieces:
            say(piece, nl=False)
    click.echo()


def read_options(pairs: tuple[tuple[str, Any], ...], family: Family) -> Mapping[str, Any]:
    """The options by name; one that takes several texts may be given several times.

    Raises BadInput for one unknown to the family, or another given twice.
    """
    known, found = options_of(family), dict(pairs)
    for name, n in Counter(name for name, _ in pairs).items():
        takes_several = name in known and known[name].kind is Kind.TEXTS
        if n > 1 and not takes_several:
            raise BadInput("--option", f"{name} {n} times", "given once a name")
        if n > 1:
            found[name] = [value for given, value in pairs if given == name]
    return check_options(found, family)


def read_inputs(inputs: tuple[str, ...], family: Family) -> list[Any]:
    """The inputs, `-` replaced by the contents of standard input. Raises BadInput."""
    if inputs.count(STDIN) > 1:
        raise BadInput("INPUT", f"{STDIN!r} more than once", "at most one standard input")
    return [_read_stdin(family) if one == STDIN else one for one in inputs]


def _read_stdin(family: Family) -> str | bytes:
    """Standard input as text, without its last line break, or as the bytes of a file."""
    data = sys.stdin.buffer.read()
    if not inputs_of(family).is_text:
        return data
    try:
        return data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise BadInput("standard input", f"not UTF-8 at byte {error.start}", "a text in UTF-8") from error


def name_input(one: str, family: Family) -> str:
    """The name of an input in the table: its file's, or the shortened text."""
    if one == STDIN:
        return "standard input"
    if not inputs_of(family).is_text:
        return Path(one).name
    return one if len(one) <= LONGEST_NAME else one[: LONGEST_NAME - 3] + "..."


def print_table(answers: Any, names: list[str]) -> int:
    """Print a row per answer as it arrives, then a sentence per failure; the number of failures."""
    console, table = output_console(), None
    failures: dict[int, InferenceError] = {}
    with Live(console=console, auto_refresh=False) as live:
        for number, answer in answers:
            if isinstance(answer, InferenceError):
                failures[number] = answer
                continue
            table = table or ReplyTable(console)
            table.add(names[number], answer_text(answer["output"]), answer)
            live.update(table.table, refresh=True)
    for number, error in sorted(failures.items()):
        where = f"{names[number]}: " if len(names) > 1 else ""
        say(f"webinfer: {where}{error}", err=True)
    return len(failures)


def print_json(answers: Any, names: list[str]) -> int:
    """Print all replies in input order, errors in place of failed ones; the number of failures."""
    found: dict[int, Answer] = dict(answers)
    plain = [_plain_answer(found[number], name) for number, name in enumerate(names)]
    click.echo(json.dumps(plain, indent=2, default=_plain))
    failed = [answer for answer in found.values() if isinstance(answer, InferenceError)]
    for error in failed if len(names) == 1 else ():
        say(f"webinfer: {error}", err=True)
    return len(failed)


def _plain_answer(answer: Answer, name: str) -> Mapping[str, Any]:
    if not isinstance(answer, InferenceError):
        return answer
    return {"success": False, "input": name, "error": {"code": answer.code(), "message": str(answer)}}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be JSON")
