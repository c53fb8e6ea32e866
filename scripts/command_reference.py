"""Writes the section "All commands" of docs/command.md from the commands themselves.

`python scripts/command_reference.py`; tests/unit/test_command_line.py holds the page to it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from webinfer.cli import COMMANDS, cli
from webinfer.compatibility.markdown import paragraph, table

PAGE = Path(__file__).parents[1] / "docs/command.md"
HEADING = "## All commands\n"


def render(page: str) -> str:
    """`page` with its last section written anew."""
    return page[: page.index(HEADING)] + "\n\n".join((HEADING.strip(), *_sections())) + "\n"


def _sections() -> Iterator[str]:
    yield paragraph(
        """Written by `python scripts/command_reference.py` from the help of the commands, which all have
        `-h` and `--help` too."""
    )
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        yield _describe(command, f"webinfer {name}")
        if isinstance(command, click.Group):
            yield from (_describe(each, f"webinfer {name} {word}") for word, each in command.commands.items())


def _describe(command: click.Command, words: str) -> str:
    """A heading, what the command does, and a table of its options."""
    context = click.Context(command, info_name=words)
    arguments = [piece for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]"]
    text = (paragraph(part) for part in inspect.cleandoc(command.help or "").split("\n\n"))
    options = [_row(each, context) for each in command.params if isinstance(each, click.Option)]
    options_table = [table(("option", "meaning"), options)] if options else []
    return "\n\n".join((f"### `{' '.join((words, *arguments))}`", *text, *options_table))


def _row(option: click.Option, context: click.Context) -> tuple[str, str]:
    """`--name VALUE`, and its help; a default that help does not say follows."""
    value = "" if option.is_flag else f" {option.make_metavar(context).replace('RANGE', '').strip()}"
    default = option.get_default(context) if option.show_default else None
    ending = "" if default is None else f" Default: {default}."
    needed = " Required." if option.required else ""
    names = ", ".join(sorted(option.opts, key=len))
    return f"`{names}{value}`", f"{option.help}{ending}{needed}"


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
