"""The `webinfer` command. Commands are imported when they are called, so `--help` stays quick."""

from __future__ import annotations

import importlib
import sys

import click
from click.shell_completion import CompletionItem

from browser_runtime.contract.setup.command_line import hide_passwords
from webinfer.endings import drop_output, end_with, open_missing_streams
from webinfer.signals import take_signals

COMMANDS = {
    "doctor": ("webinfer.commands.doctor", "Check which backends work in each browser on this machine."),
    "prepare": (
        "webinfer.commands.prepare",
        "Prepare the browsers of this machine: Edge's stand-in, Firefox's first start.",
    ),
    "up": ("webinfer.commands.up", "Start everything on this machine: Redis, workers, scheduler, monitor."),
    "infer": ("webinfer.commands.infer", "Send inputs to a model and print the answers."),
    "models": ("webinfer.commands.models", "List, download, import, verify and remove models."),
    "scale": (
        "webinfer.commands.scale",
        "Run as many workers as the autoscaler decides, with Compose or Kubernetes.",
    ),
    "history": ("webinfer.commands.history", "Show how much was recorded; export it as Parquet files."),
    "recommend": ("webinfer.commands.recommend", "Rank the browsers for a model by measured speed."),
    "bench": ("webinfer.commands.bench", "Measure the performance of this machine."),
    "compare": (
        "webinfer.commands.compare",
        "Compare two browsers, flags, backends, models or settings, until the difference is known.",
    ),
    "gate": (
        "webinfer.commands.gate",
        "Fail where models became slower, or answer otherwise, than before; for CI.",
    ),
    "matrix": (
        "webinfer.commands.matrix",
        "Measure models in every browser, backend and precision: a heat map.",
    ),
    "load": (
        "webinfer.commands.load",
        "Send requests at a rate through the queue; find the rate that a stack carries.",
    ),
    "report": ("webinfer.commands.report", "Write a report of what was recorded, as HTML, Markdown or JSON."),
    "alerts": ("webinfer.commands.alerts", "List the open alerts; send a test notification."),
    "demo": ("webinfer.commands.demo", "Run a text, an image and a sound through every browser, end to end."),
}


class LazyGroup(click.Group):
    """A group whose commands live in modules of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The command names, in the order a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve the command; a misspelt name gets a suggestion although no command is imported."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            raise click.exceptions.NoSuchCommand(
                error.command_name, possibilities=COMMANDS, ctx=ctx
            ) from None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete commands, without importing any, and the group's own options."""
        found = [CompletionItem(name, help=summary) for name, (_, summary) in COMMANDS.items()]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [item for item in found if str(item.value).startswith(incomplete)] + options

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="webinfer")
def cli() -> None:
    """AI inference in real web browsers, served from a task queue."""
    if not {"-h", "--help"} & set(sys.argv):  # help is what a wrong setting asks for
        from browser_runtime.contract.setup.environment import check_environment
        from browser_runtime.contract.setup.proxies import exempt_loopback
        from webinfer.stack.logs import configure_logs

        exempt_loopback()
        check_environment()
        configure_logs()


def main() -> None:
    """Run the command; a user's mistake is one sentence and an exit code above 0, never a traceback."""
    hide_passwords()
    open_missing_streams()
    stdout = sys.stdout
    try:
        take_signals()  # of the process: who calls `cli` in a program of theirs keeps their own
        # Always this name, however it was called: shell completion asks for it.
        cli(prog_name="webinfer", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except SystemExit as stop:
        # When the reader of a pipe has gone, rich ends so, and click, which puts another stream in its place.
        if not isinstance(stop.__context__, BrokenPipeError) and sys.stdout is stdout:
            raise
        drop_output()
        sys.exit(0)
    except (Exception, KeyboardInterrupt) as error:
        sys.exit(end_with(error))
