"""What the laboratory's commands share: their options, their progress, and where results are kept."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.status import Status

from webinfer.commands.parameters import NEW_FILE, ModelName, Number
from webinfer.tables import SafeConsole


class Percent(click.ParamType[float]):
    """A share as `3%` or `0.03`."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The share. Fails for what is no percentage between 0.1 % and 1000 %."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(%?)", str(value).strip())
        share = float(found[1]) / (100 if found[2] else 1) if found else 0.0
        if not 0.001 <= share <= 10:
            self.fail(f"{value!r} is no share between 0.1% and 1000%, such as 3%.", param, ctx)
        return share


class Duration(click.ParamType[float]):
    """A time as `90s`, `500ms`, `2m` or a number of seconds."""

    name = "time"
    UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}  # noqa: RUF012 - never changed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds. Fails for what is no time up to a day."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|)", str(value).strip())
        seconds = float(found[1]) * self.UNITS[found[2]] if found else 0.0
        if not 0 < seconds <= 86_400:
            self.fail(f"{value!r} is no time up to a day, such as 90s, 500ms or 2m.", param, ctx)
        return seconds


PERCENT, DURATION = Percent(), Duration()
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
    help="Stop after this time at the latest.",
)
JSON_FILE = click.option(
    "--json", "json_file", type=NEW_FILE, help="Also write everything into this file; - prints it."
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


def keep(document: dict[str, Any], json_file: Path | None, *, no_history: bool) -> None:
    """Write a document where it was asked for, and into the history unless that was refused."""
    from webinfer.bench.laboratory.documents import write_document
    from webinfer.bench.laboratory.keeping import keep_experiment

    if json_file is not None:
        text = write_document(document)
        if str(json_file) == "-":
            click.echo(text, nl=False)
        else:
            json_file.write_text(text, encoding="utf-8")
    if not no_history:
        keep_experiment(document)
