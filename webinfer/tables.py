"""Tables that more than one command prints, and the console they are printed on."""

from __future__ import annotations

import sys
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from browser_runtime.contract.messages import Adapter
from webinfer.words import adapter_kind

# What a table of replies needs for a column each; narrower terminals get one column for where it ran.
WIDE = 124

Row = tuple[str, str, dict[str, Any]]
"""What went in, what came out in a line, the reply."""


def output_console() -> Console:
    """Standard output: as wide as the terminal; wide enough for every column where it is none."""
    return Console(width=None if sys.stdout.isatty() else WIDE + 16, highlight=False)


def print_replies(console: Console, rows: list[Row], title: str | None = None) -> None:
    """A table of replies: what went in, what came out, where it ran, how long each step took."""
    wide = console.width >= WIDE
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for name in ("input", "answer", *(("browser", "backend", "adapter") if wide else ("ran on",))):
        table.add_column(name)
    for step in ("queue", "load", "compute", "total"):
        table.add_column(f"{step} ms" if wide else f"{step}\nms", justify="right", no_wrap=True)
    for told, answer, reply in rows:
        adapter = Adapter(**reply["adapter"])
        place = (
            reply["browser_build"],
            reply["backend"],
            f"{adapter.name} ({adapter_kind(adapter)})".strip(),
        )
        cells = (told, answer, *(place if wide else ["\n".join(place)]))
        table.add_row(*map(escape, cells), *_times(reply))
    console.print(table)


def _times(reply: dict[str, Any]) -> list[str]:
    times = reply["timings"]
    load_ms = times["load_ms"] + times["compile_ms"] + times["warmup_ms"]
    broker_ms = times["broker_ms"]  # waiting for a worker, which the worker's own total leaves out
    queue_ms, total_ms = broker_ms + times["queue_ms"], broker_ms + times["total_ms"]
    steps_ms = (queue_ms, load_ms, reply["inference_time_ms"], total_ms)
    return [f"{ms:.1f}" for ms in steps_ms]
