"""Parameter types of the commands: words as choices, which shells complete and which refuse typos."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from browser_runtime.contract.families import FAMILIES, FAMILY_ALIASES, inputs_of, rows_of, served_families
from browser_runtime.contract.option import Kind, Option
from browser_runtime.contract.options import list_options, options_of
from browser_runtime.contract.vocabulary import BACKEND_ALIASES, PAGE_BACKENDS, Browser, Family, Precision

MODEL_TYPES = click.Choice([*map(str, served_families()), *FAMILY_ALIASES])
FAMILY_NAMES = click.Choice([*FAMILIES, *FAMILY_ALIASES])
BACKENDS = click.Choice([*map(str, PAGE_BACKENDS), *BACKEND_ALIASES])
BROWSERS = click.Choice([str(browser) for browser in Browser])
BROWSER = click.option(
    "--browser", default="chrome", show_default=True, type=BROWSERS, help="Browser to measure."
)
ONLY_BROWSERS = click.option(
    "--browser",
    "names",
    multiple=True,
    type=BROWSERS,
    help="Measure only this browser; repeatable. Default: all.",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
PRECISIONS = click.Choice([str(precision) for precision in Precision])
# A mistyped time must not overflow a timer.
LONGEST_S = 30 * 86400.0


class Number(click.FloatRange):
    """A finite number in a range, in a unit that help shows; `click.FloatRange` lets NaN pass."""

    def __init__(self, least: float, most: float, *, min_open: bool = False, unit: str = "number") -> None:
        super().__init__(least, most, min_open=min_open)
        self.name = unit

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number. Fails for NaN and infinity."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


class NewFile(click.Path):
    """A file to be written, refused before any work is done if its folder is missing or read-only.

    `-` is standard output where `allow_dash` is true, and refused elsewhere.
    """

    name = "file"

    def __init__(self, *, allow_dash: bool = False) -> None:
        super().__init__(dir_okay=False, writable=True, allow_dash=allow_dash, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path. Fails for one that cannot be written."""
        if str(value) == "-" and not self.allow_dash:
            self.fail("'-' is not printed here: name a file.", param, ctx)
        path = super().convert(value, param, ctx)
        folder = Path(str(path)).parent
        if not folder.is_dir():
            self.fail(f"the folder {str(folder)!r} does not exist.", param, ctx)
        if not os.access(folder, os.W_OK):
            self.fail(f"the folder {str(folder)!r} cannot be written.", param, ctx)
        return path


NEW_FILE = NewFile()
FILE_OR_OUTPUT = NewFile(allow_dash=True)
PICTURE = click.option("--picture", type=NEW_FILE, help="Also draw the results into this SVG file.")
DAYS = Number(0, 36_500, min_open=True, unit="days")
SECONDS = Number(0, LONGEST_S, min_open=True, unit="seconds")


class ModelName(click.ParamType[str]):
    """The name of a model."""

    name = "name"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete models of this machine and the catalogue, of the family named before."""
        from browser_runtime.models.store import ModelStore

        family = _family(ctx)
        rows = set(FAMILIES) if family is None else {row.name for row in rows_of(family)}
        return [
            CompletionItem(entry.name, help=entry.family)
            for entry in ModelStore().listing()
            if entry.name.startswith(incomplete) and entry.family in rows
        ]


class RequestOption(click.ParamType[tuple[str, Any]]):
    """An option of a request as NAME=VALUE, by the table of all options."""

    name = "name=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Any]:
        """Name and value; the family's table of options checks them later."""
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if not equals:
            self.fail(f"{value!r} is not NAME=VALUE.", param, ctx)
        option = _options(_family(ctx) if ctx else None).get(name)
        return name, text if option is None else read_value(option, text)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the options of the family, then the values of an option that has few."""
        known = _options(_family(ctx))
        name, equals, _ = incomplete.partition("=")
        if equals:
            found = [CompletionItem(f"{name}={word}") for word in _words(known.get(name))]
        else:
            found = [CompletionItem(f"{each.name}=", help=each.summary) for each in known.values()]
        return [item for item in found if str(item.value).startswith(incomplete)]


class Input(click.ParamType[str]):
    """A text, or the path of a file."""

    name = "input"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete file names, unless the model takes texts."""
        family = _family(ctx)
        takes_text = family is not None and inputs_of(family).is_text
        return [] if takes_text else [CompletionItem(incomplete, type="file")]


def read_value(option: Option, text: str) -> Any:
    """`text` as a value of this option; unchanged if it is none, so that the option refuses it."""
    if option.kind is Kind.FLAG:
        return {"true": True, "false": False}.get(text.lower(), text)
    if option.kind is Kind.COUNT and text.isascii() and text.isdigit():
        return int(text)
    if option.kind is Kind.NUMBER:
        with suppress(ValueError):
            return float(text)
    return text


def _options(family: Family | None) -> dict[str, Option]:
    """The options of a family by name; of all families if none is named."""
    if family is not None:
        return options_of(family)
    return {option.name: option for option, _ in list_options()}


def _words(option: Option | None) -> tuple[str, ...]:
    if option is None:
        return ()
    return ("true", "false") if option.kind is Kind.FLAG else option.words


def _family(ctx: click.Context) -> Family | None:
    """The family named on the command line so far."""
    word = ctx.params.get("model_type")
    return Family(FAMILY_ALIASES.get(word, word)) if word else None
