"""`webinfer up`: the local stack until Ctrl-C."""

from __future__ import annotations

import signal

import click
from rich.console import Console

from browser_runtime.errors import SetupError
from browser_runtime.launching.binaries import find_installation
from browser_runtime.settings import RuntimeSettings
from browser_runtime.vocabulary import Browser
from webinfer.record import recorded
from webinfer.stack import Stack


@click.command("up")
@click.option(
    "--browser",
    "names",
    multiple=True,
    type=click.Choice([str(browser) for browser in Browser]),
    help="Only this browser; repeatable. Default: all found.",
)
@click.option(
    "--sessions", default=1, show_default=True, type=click.IntRange(1, 8), help="Browser sessions a worker."
)
@click.option(
    "--broker", envvar="WEBINFER_BROKER_URL", help="A Redis that runs already; default: a private one."
)
def command(names: tuple[str, ...], sessions: int, broker: str | None) -> None:
    """Run the local stack: Redis if none is given, and one worker a browser. Ctrl-C stops it clean."""
    console = Console()
    browsers = [Browser(name) for name in names] or found_browsers(console)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite end is a Ctrl-C from outside

    def tell(part: str, state: str) -> None:
        console.print(f"[cyan]{part:<24}[/] {state}", highlight=False)

    with Stack(browsers, n_sessions=sessions, broker_url=broker, tell=tell) as stack, recorded(stack):
        console.print(f"\nproducers: export WEBINFER_BROKER_URL={stack.broker_url}", highlight=False)
        console.print(f"logs:      {stack.folder}\nstop:      Ctrl-C", highlight=False)
        stack.supervise()


def found_browsers(console: Console) -> list[Browser]:
    """The browsers on this machine; says which are missing and how to get them."""
    found, missing = [], []
    for browser in Browser:
        try:
            find_installation(browser, RuntimeSettings())
            found.append(browser)
        except SetupError as error:
            missing.append(error)
            console.print(f"[yellow]without {browser}[/]: {error}", highlight=False)
    if not found and missing and RuntimeSettings().simulation == "never":
        raise missing[0]
    if not found:
        console.print("[yellow]no browser at all: every reply will be a simulation[/]")
        return list(Browser)
    return found
