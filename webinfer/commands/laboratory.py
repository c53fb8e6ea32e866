"""What the laboratory's commands share: their options, their progress, and where results are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.status import Status

from browser_runtime.contract.errors import BadInput
from scheduler.files import write_whole
from webinfer.bench.laboratory.quantities import read_duration, read_share
from webinfer.commands.parameters import FILE_OR_OUTPUT, ModelName, Number
from webinfer.tables import SafeConsole, output_console


class Quantity(click.ParamType[float]):
    """A share such as `3%`, or a time such as `90s`."""

    def __init__(self, name: str, read: Callable[[object, str], float]) -> None:
        self.name, self._read = name, read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The share, or seconds. Fails for what is none."""
        if isinstance(value, float):
            return value
        try:
            return self._read(value, param.opts[0] if param else self.name)
        except BadInput as error:
            self.fail(str(error), param, ctx)


PERCENT, DURATION = Quantity("percent", read_share), Quantity("time", read_duration)
RATE = Number(0.01, 100_000, unit="requests a second")
MODEL = click.argument("model", type=ModelName())
WITHIN = click.option(
    "--within",
    default="3%",
    show_default=True,
    type=PERCENT,
    help="Stop when the ratio is known to within this, at 95 %.",
)
BUDGET = click.option(
    "--budget",
    "budget_s",
    default="180s",
    show_default=True,
    type=DURATION,
    help="Stop after this time, once three blocks were run.",
)
JSON_FILE = click.option(
    "--json", "json_file", type=FILE_OR_OUTPUT, help="Also write everything into this file; - prints it."
)
NO_HISTORY = click.option("--no-history", is_flag=True, help="Do not keep the result in the history.")


class Watch:
    """Progress on standard error: what is done now, and what is known so far."""

    def __init__(self, status: Status) -> None:
        self._status, self._doing, self._known = status, "", ""

    def tell(self, text: str) -> None:
        """Show what is done now."""
        self._doing = text
        self._show()

    def note(self, text: str) -> None:
        """Show what is known so far."""
        self._known = text
        self._show()

    def _show(self) -> None:
        parts = [part for part in (self._doing, self._known) if part]
        self._status.update(" | ".join(parts).replace("[", "\\["))


@contextmanager
def watching(text: str) -> Iterator[Watch]:
    """Progress while a command works."""
    with SafeConsole(stderr=True).status(text) as status:
        yield Watch(status)


def result_console(json_file: Path | None) -> SafeConsole:
    """Where tables and verdicts go: standard error if the document takes standard output."""
    return SafeConsole(stderr=True, highlight=False) if str(json_file) == "-" else output_console()


def earlier(json_file: Path | None, kind: str) -> dict[str, Any] | None:
    """The document of a run that was cut; None where there is no such file. Raises BadInput for another."""
    from webinfer.bench.laboratory.documents import read_document

    if json_file is None or str(json_file) == "-" or not json_file.is_file():
        return None
    return read_document(json_file, kind)


def save(document: dict[str, Any], json_file: Path | None) -> None:
    """Replace the file at once: a run that is cut leaves what it has so far."""
    from webinfer.bench.laboratory.documents import write_document

    if json_file is not None and str(json_file) != "-":
        write_whole(json_file, write_document(document))


def keep(document: dict[str, Any], json_file: Path | None, *, no_history: bool) -> None:
    """Write a document where it was asked for, and into the history unless that was refused.

    Before anything is shown: the reader of a table may have gone, as in `| head -1`, which ends the command.
    """
    from webinfer.bench.laboratory.documents import write_document
    from webinfer.bench.laboratory.keeping import keep_experiment

    if str(json_file) == "-":
        click.echo(write_document(document), nl=False)
    else:
        save(document, json_file)
    if not no_history:
        keep_experiment(document)
