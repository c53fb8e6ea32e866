"""Tables that several commands print, and their console."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from browser_runtime.contract.messages import LOAD_STEPS, Adapter
from webinfer.words import CONTROLS, adapter_kind

# Width of a table with all columns; narrower ones have a single column for browser, backend and adapter.
WIDE = 124

Row = tuple[str, str, Mapping[str, Any]]
"""The input, the answer in a line, and the reply."""


class SafeConsole(Console):
    """A console that no name on it can steer: control characters are shown as spaces."""

    def render(self, renderable: Any, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See `rich.console.Console`."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=CONTROLS.sub(" ", segment.text))


def output_console() -> SafeConsole:
    """Standard output, as wide as the terminal; wide enough for every column if it is none."""
    return SafeConsole(width=None if sys.stdout.isatty() else WIDE + 16, highlight=False)


class ReplyTable:
    """A row per reply: input, answer, place, and the time of each step."""

    def __init__(self, console: Console, title: str | None = None) -> None:
        self._wide = console.width >= WIDE
        self.table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
        for name in ("input", "answer", *(("browser", "backend", "adapter") if self._wide else ("ran on",))):
            self.table.add_column(name)
        for step in ("queue", "load", "compute", "total"):
            name = f"{step} ms" if self._wide else f"{step}\nms"
            self.table.add_column(name, justify="right", no_wrap=True)

    def add(self, name: str, answer: str, reply: Mapping[str, Any]) -> None:
        """Add a row; markup and control characters in texts have no effect."""
        adapter = Adapter(**reply["adapter"])
        kind = f"{adapter.name} ({adapter_kind(adapter)})".strip()
        place = (reply["browser_build"], reply["backend"], kind)
        cells = (name, answer, *(place if self._wide else ["\n".join(place)]))
        self.table.add_row(*map(plain_text, cells), *_times(reply))


def print_replies(console: Console, rows: Sequence[Row], title: str | None = None) -> None:
    """Print a table of replies."""
    table = ReplyTable(console, title)
    for row in rows:
        table.add(*row)
    console.print(table.table)


def plain_text(text: str) -> Text:
    """`text` without markup and control characters."""
    return Text("".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text))


def _times(reply: Mapping[str, Any]) -> list[str]:
    times = reply["timings"]
    load_ms = sum(times[step] for step in LOAD_STEPS)
    broker_ms = times["broker_ms"]  # waiting for a worker, which the worker's own total leaves out
    queue_ms, total_ms = broker_ms + times["queue_ms"], broker_ms + times["total_ms"]
    steps_ms = (queue_ms, load_ms, reply["inference_time_ms"], total_ms)
    return [f"{ms:.1f}" for ms in steps_ms]
