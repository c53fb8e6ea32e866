"""`webinfer up`: the local stack until Ctrl-C."""

from __future__ import annotations

import contextlib
import socket
from contextlib import AbstractContextManager

import click
from rich.console import Console
from rich.markup import escape

from browser_runtime.contract.errors import BadInput, BadSetting, SetupError
from browser_runtime.contract.setup.environment import make_folder, redact
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.launching.binaries import find_installation
from browser_runtime.settings import RuntimeSettings
from scheduler.settings import SchedulerSettings
from tasks.broker.local_broker import record_broker
from tasks.settings import TaskSettings
from webinfer.commands.parameters import BROWSERS
from webinfer.stack.commands import monitor_command
from webinfer.stack.history_lock import hold_history
from webinfer.stack.stack import Stack, StackOptions


@click.command("up")
@click.option(
    "--browser",
    "names",
    multiple=True,
    type=BROWSERS,
    help="Only this browser; repeatable. Default: all found.",
)
@click.option(
    "--sessions", default=1, show_default=True, type=click.IntRange(1, 8), help="Browser sessions a worker."
)
@click.option(
    "--broker",
    envvar="WEBINFER_BROKER_URL",
    callback=lambda _context, _option, url: check_broker(url),
    help="A Redis that runs already; default: a private one.",
)
@click.option("--autoscale", is_flag=True, help="As many workers of a browser as its queue needs.")
@click.option(
    "--max-workers",
    default=4,
    show_default=True,
    type=click.IntRange(1, 64),
    help="With --autoscale, workers of a browser at most.",
)
@click.option("--without-scheduler", is_flag=True, help="No history, canaries, alerts, reports.")
@click.option("--without-monitor", is_flag=True, help="No Flower.")
@click.option(
    "--monitor-port",
    default=5555,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Flower's; 0 takes a free one.",
)
def command(
    names: tuple[str, ...],
    sessions: int,
    broker: str | None,
    autoscale: bool,
    max_workers: int,
    without_scheduler: bool,
    without_monitor: bool,
    monitor_port: int,
) -> None:
    """Run the local stack until Ctrl-C: Redis if none is given, a worker a browser, what watches them."""
    if autoscale and without_scheduler:
        raise click.UsageError("--autoscale needs the scheduler: leave out --without-scheduler")
    console = Console()
    if not without_monitor:
        monitor_command()
        check_port(monitor_port)
    company = StackOptions(
        not without_scheduler, None if without_monitor else monitor_port, max_workers if autoscale else None
    )
    browsers = [Browser(name) for name in names] or found_browsers(console)

    def tell(part: str, state: str) -> None:
        with contextlib.suppress(OSError, SystemExit):  # nobody reads any more: what runs is stopped in order
            console.print(f"[cyan]{part:<24}[/] {escape(state)}", highlight=False, soft_wrap=True)

    stack = Stack(browsers, n_sessions=sessions, broker_url=broker, tell=tell, company=company)
    with _own_history(company), stack, record_broker(stack.broker_url):
        for line in _addresses(stack, company):
            console.print(line, highlight=False, soft_wrap=True, markup=False)
        stack.supervise()


def _own_history(company: StackOptions) -> AbstractContextManager[None]:
    """Raises SetupError where another process has it, BadSetting where nothing can be written there."""
    if not company.scheduler:
        return contextlib.nullcontext()
    settings = SchedulerSettings()
    make_folder("WEBINFER_REPORTS_DIR", settings.reports_dir)
    return hold_history(settings.history_path)


def _addresses(stack: Stack, company: StackOptions) -> list[str]:
    """Where everything is."""
    lines = [f"\nproducers: export WEBINFER_BROKER_URL={redact(stack.broker_url)}"]
    if stack.monitor_url:
        lines.append(f"monitor:   {stack.monitor_url}")
    if company.scheduler:
        lines.append(f"history:   {SchedulerSettings().history_path}")
    return [*lines, f"logs:      {stack.folder}", "stop:      Ctrl-C"]


def check_broker(url: str | None) -> str | None:
    """`url`, where it can be a Redis; nothing is no broker. Raises BadInput."""
    try:
        return TaskSettings(broker_url=url).broker_url if url else None
    except BadSetting as error:
        raise BadInput("--broker", *error.args[1:]) from error


def check_port(port: int) -> None:
    """Raises SetupError where somebody listens on this port of this machine already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            told = "choose another with --monitor-port, or leave Flower out: --without-monitor"
            raise SetupError(f"port {port} for Flower", f"it is taken ({error.strerror}); {told}") from error


def found_browsers(console: Console) -> list[Browser]:
    """The browsers on this machine; says which are missing and how to get them."""
    found, missing = [], []
    for browser in Browser:
        try:
            find_installation(browser, RuntimeSettings())
            found.append(browser)
        except SetupError as error:
            missing.append(error)
            console.print(f"[yellow]without {browser}[/]: {escape(str(error))}", highlight=False)
    if not found and missing and RuntimeSettings().simulation == "never":
        raise missing[0]
    if not found:
        console.print("[yellow]no browser at all: every reply will be a simulation[/]")
        return list(Browser)
    return found
