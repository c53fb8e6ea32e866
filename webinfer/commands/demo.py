"""`webinfer demo`: requests through every browser, end to end, on a temporary local stack."""

from __future__ import annotations

import time
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from browser_runtime.contract.vocabulary import Browser
from webinfer.commands.up import found_browsers
from webinfer.demonstration import (
    SENTENCES,
    DemoRequest,
    demo_requests,
    describe_answer,
    run_requests,
    stream_together,
)
from webinfer.producing import ReplyDict, use_broker
from webinfer.stack.stack import Stack
from webinfer.tables import Row, output_console, print_replies


@click.command("demo")
def command() -> None:
    """Send a text, an image, a sound and a question through the installed browsers with `infer.delay`.

    Two more answers are streamed at once from one browser, each by a producer of its own. Starts its own
    Redis and workers, prints the answers, and stops everything again.
    """
    console = output_console()
    started = time.monotonic()
    browsers = found_browsers(console)
    with _progress(console) as progress, Stack(browsers, tell=_teller(progress)) as stack:
        use_broker(stack.broker_url)
        replies = _answers(progress, browsers)
        texts = stream_together(browsers)
    rows: list[Row] = [(request.name, describe_answer(reply), reply) for request, reply in replies]
    print_replies(console, rows, title="webinfer demo")
    _explain(console, rows)
    for text in texts:
        pieces = escape(" | ".join(piece for piece in text.pieces if piece))
        console.print(f"  streamed by {text.session}: {escape(text.prompt)} {pieces}", highlight=False)
    console.print(f"[green]done in {time.monotonic() - started:.1f} s[/]; nothing was left running")


def _answers(progress: Progress, browsers: list[Browser]) -> list[tuple[DemoRequest, ReplyDict]]:
    requests = demo_requests(browsers)
    task = progress.add_task("answers", total=len(requests), state="waiting")

    def done() -> None:
        progress.advance(task)
        progress.update(task, state=f"{progress.tasks[task].completed:.0f} of {len(requests)}")

    return list(run_requests(requests, done))


def _explain(console: Console, rows: list[Row]) -> None:
    for number, sentence in enumerate(SENTENCES, 1):
        console.print(f"  sentence {number}: {sentence}", highlight=False)
    notes = {fallback["reason"] for _, _, reply in rows for fallback in reply["fallbacks"]}
    notes |= {warning for _, _, reply in rows for warning in reply["warnings"]}
    for line in sorted(notes):
        console.print(f"  [yellow]note[/] {escape(line)}", highlight=False)


def _progress(console: Console) -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console, transient=True)


def _teller(progress: Progress) -> Any:
    tasks: dict[str, TaskID] = {}

    def tell(part: str, state: str) -> None:
        if part not in tasks:
            tasks[part] = progress.add_task(part, total=1, state=state)
        progress.update(tasks[part], state=state, completed=int(state in ("ready", "stopped")))

    return tell
