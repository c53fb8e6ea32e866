"""What a setting adds to how browsers are started: command-line arguments and Firefox's preferences. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping

from browser_runtime.contract.setup.environment import BadValue

Preference = bool | int | str

# webinfer decides these itself: how it speaks to the browser, where its files are, what confines it.
RESERVED = (
    "--disable-web-security",
    "--headless",
    "--no-sandbox",
    "--proxy-server",
    "--remote-debugging-address",
    "--remote-debugging-pipe",
    "--remote-debugging-port",
    "--user-data-dir",
)
# Of several of these Chromium obeys the last alone, so that added features are joined with ours.
LISTS = ("--enable-features", "--disable-features")


def parse_arguments(text: str) -> tuple[str, ...]:
    """The command-line arguments in `text`, split as a shell splits them. Raises BadValue."""
    arguments = tuple(_split(text, "command-line arguments"))
    for argument in arguments:
        name = argument.partition("=")[0]
        if len(name) < 3 or not name.startswith("--"):
            raise BadValue(f"command-line arguments that begin with --, and {argument!r} does not")
        if name in RESERVED:
            raise BadValue(f"command-line arguments without {name}, which webinfer sets itself")
    return arguments


def parse_preferences(text: str) -> dict[str, Preference]:
    """The preferences in `text`: NAME=VALUE, split as a shell splits them. Raises BadValue."""
    found: dict[str, Preference] = {}
    for word in _split(text, "preferences as NAME=VALUE"):
        name, equals, value = word.partition("=")
        if not (name and equals):
            raise BadValue(f"preferences as NAME=VALUE, and {word!r} is none")
        found[name] = _read_value(value)
    return found


def check_arguments(text: str) -> str:
    """`text`, if it can be parsed. Raises BadValue."""
    parse_arguments(text)
    return text


def check_preferences(text: str) -> str:
    """`text`, if it can be parsed. Raises BadValue."""
    parse_preferences(text)
    return text


def merge_arguments(ours: Iterable[str], added: Iterable[str]) -> list[str]:
    """Both, with lists of features joined: Chromium obeys only the last argument of a name."""
    merged: list[str] = []
    lists: dict[str, list[str]] = {}
    for argument in (*ours, *added):
        name, _, value = argument.partition("=")
        if name in LISTS:
            lists.setdefault(name, []).append(value)
        else:
            merged.append(argument)
    return [*merged, *(f"{name}={','.join(values)}" for name, values in lists.items())]


def describe_additions(arguments: Iterable[str], preferences: Mapping[str, Preference]) -> str:
    """Both in one line as a build shows them; empty without any."""
    told = [*arguments, *(f"{name}={_show(value)}" for name, value in preferences.items())]
    return " ".join(told)


def _split(text: str, what: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BadValue(f"{what} that a shell could split: {error}") from None
    if not text.isprintable():
        raise BadValue(f"{what} in one line of printable characters")
    return words


def _read_value(text: str) -> Preference:
    if text in ("true", "false"):
        return text == "true"
    is_number = text.removeprefix("-").isascii() and text.removeprefix("-").isdigit()
    return int(text) if is_number else text


def _show(value: Preference) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
