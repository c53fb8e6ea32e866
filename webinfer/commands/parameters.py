"""What commands take: the project's words as choices, so that shells complete them and typos are refused."""

from __future__ import annotations

import math
from typing import Any

import click
from click.shell_completion import CompletionItem

from browser_runtime.contract.options import OPTIONS, Kind, Option, options_of
from browser_runtime.contract.vocabulary import (
    BACKEND_ALIASES,
    FAMILY_ALIASES,
    PAGE_BACKENDS,
    SERVED_FAMILIES,
    Browser,
    Family,
    Precision,
)

FAMILIES = click.Choice([*map(str, SERVED_FAMILIES), *FAMILY_ALIASES])
BACKENDS = click.Choice([*map(str, PAGE_BACKENDS), *BACKEND_ALIASES])
BROWSERS = click.Choice([str(browser) for browser in Browser])
PRECISIONS = click.Choice([str(precision) for precision in Precision])
# A mistyped time must not overflow a timer.
LONGEST_S = 30 * 86400.0


class Number(click.FloatRange):
    """A finite number; click's own range lets NaN pass."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number. Fails for what is none."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


DAYS = Number(0, 36_500, min_open=True)
SECONDS = Number(0, LONGEST_S, min_open=True)


class ModelName(click.ParamType[str]):
    """The name of a model; completed from this machine and the catalogue."""

    name = "name"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The models there are, of the family that was named."""
        from browser_runtime.models.store import ModelStore

        family = _family(ctx)
        return [
            CompletionItem(entry.name, help=entry.family)
            for entry in ModelStore().listing()
            if entry.name.startswith(incomplete) and (family is None or entry.family == family)
        ]


class RequestOption(click.ParamType[tuple[str, Any]]):
    """An option of a request as NAME=VALUE, by the table of all options."""

    name = "name=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Any]:
        """Name and value; whether they are allowed is told by the family's table."""
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if not equals:
            self.fail(f"{value!r} is not NAME=VALUE.", param, ctx)
        option = OPTIONS.get(name)
        return name, text if option is None else read_value(option, text)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The options of the family, then the values of one that has few."""
        family = _family(ctx)
        known = OPTIONS.values() if family is None else options_of(family)
        name, equals, _ = incomplete.partition("=")
        if equals:
            found = [CompletionItem(f"{name}={word}") for word in _words(OPTIONS.get(name))]
        else:
            found = [CompletionItem(f"{each.name}=", help=each.summary) for each in known]
        return [item for item in found if str(item.value).startswith(incomplete)]


class Input(click.ParamType[str]):
    """A text, or the path of a file."""

    name = "input"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Files, unless the model takes texts."""
        return [] if _family(ctx) is Family.TEXT_EMBEDDING else [CompletionItem(incomplete, type="file")]


def read_value(option: Option, text: str) -> Any:
    """What `text` means for this option; `text` itself where it means nothing, for the option to refuse."""
    if option.kind is Kind.FLAG:
        return {"true": True, "false": False}.get(text.lower(), text)
    if option.kind is Kind.COUNT and text.isascii() and text.isdigit():
        return int(text)
    return text


def _words(option: Option | None) -> tuple[str, ...]:
    if option is None:
        return ()
    return ("true", "false") if option.kind is Kind.FLAG else option.words


def _family(ctx: click.Context) -> Family | None:
    """The family on the command line so far."""
    word = ctx.params.get("model_type")
    return Family(FAMILY_ALIASES.get(word, word)) if word else None
