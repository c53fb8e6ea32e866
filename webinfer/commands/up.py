"""`webinfer up`: runs the local stack until Ctrl-C."""

from __future__ import annotations

import contextlib
import socket
from contextlib import AbstractContextManager

import click
import redis
from rich.console import Console
from rich.markup import escape

from browser_runtime.contract.errors import BadInput, BadSetting, NotReady, SetupError
from browser_runtime.contract.setup.environment import make_folder, redact
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.launching.binaries import find_installation
from browser_runtime.settings import RuntimeSettings
from scheduler.settings import SchedulerSettings
from tasks.broker.local_broker import record_broker
from tasks.broker.redis_clients import connect_once
from tasks.settings import TaskSettings
from webinfer.commands.parameters import BROWSERS
from webinfer.stack.commands import monitor_command
from webinfer.stack.history_lock import hold_history
from webinfer.stack.stack import Stack, StackOptions
from webinfer.tables import SafeConsole

# Of the one question whether the given Redis is there.
BROKER_TIMEOUT_S = 5.0


@click.command("up")
@click.option(
    "--browser",
    "names",
    multiple=True,
    type=BROWSERS,
    help="Start a worker for this browser; repeatable. Default: every installed one.",
)
@click.option(
    "--sessions", default=1, show_default=True, type=click.IntRange(1, 8), help="Browser sessions per worker."
)
@click.option(
    "--broker",
    envvar="WEBINFER_BROKER_URL",
    callback=lambda _context, _option, url: check_broker(url),
    help="URL of a running Redis (or WEBINFER_BROKER_URL). Default: start a private one.",
)
@click.option(
    "--autoscale",
    is_flag=True,
    help="Start and stop workers of each browser as its queue needs. Default: one each.",
)
@click.option(
    "--max-workers",
    default=4,
    show_default=True,
    type=click.IntRange(1, 64),
    help="With --autoscale: the most workers of one browser.",
)
@click.option(
    "--without-scheduler",
    is_flag=True,
    help="Start no scheduler: no history, health checks, alerts, reports.",
)
@click.option("--without-monitor", is_flag=True, help="Start no monitor (Flower).")
@click.option(
    "--monitor-port",
    default=5555,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port of the monitor on this machine; 0 takes a free one.",
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
    """Start everything on this machine, and stop it again on Ctrl-C.

    Starts Redis (unless --broker names one), a worker per browser, the scheduler (history, health checks,
    alerts, reports) and the monitor. Parts that end are started again. Other commands of the same user find
    this Redis by themselves.
    """
    if autoscale and without_scheduler:
        raise click.UsageError("--autoscale needs the scheduler: leave out --without-scheduler")
    console = SafeConsole()
    if not without_monitor:
        monitor_command()
        check_port(monitor_port)
    options = StackOptions(
        not without_scheduler, None if without_monitor else monitor_port, max_workers if autoscale else None
    )
    if broker is not None:
        ping_broker(broker)
    browsers = [Browser(name) for name in names] or found_browsers(console)

    def tell(part: str, state: str) -> None:
        with contextlib.suppress(OSError, SystemExit):  # stdout is closed: keep on stopping in order
            console.print(f"[cyan]{part:<24}[/] {escape(state)}", highlight=False, soft_wrap=True)

    stack = Stack(browsers, n_sessions=sessions, broker_url=broker, tell=tell, options=options)
    with _own_history(options), stack, record_broker(stack.broker_url):
        for line in _addresses(stack, options):
            console.print(line, highlight=False, soft_wrap=True, markup=False)
        stack.supervise()


def _own_history(options: StackOptions) -> AbstractContextManager[None]:
    """The history's lock. Raises NotReady if another process has it, BadSetting if it is read-only."""
    if not options.scheduler:
        return contextlib.nullcontext()
    settings = SchedulerSettings()
    make_folder("WEBINFER_REPORTS_DIR", settings.reports_dir)
    return hold_history(settings.history_path)


def _addresses(stack: Stack, options: StackOptions) -> list[str]:
    """The lines that say where everything can be reached."""
    lines = [f"\nproducers: export WEBINFER_BROKER_URL={redact(stack.broker_url)}"]
    if stack.monitor_url:
        lines.append(f"monitor:   {stack.monitor_url}")
    if options.scheduler:
        lines.append(f"history:   {SchedulerSettings().history_path}")
    return [*lines, f"logs:      {stack.folder}", "stop:      Ctrl-C"]


def check_broker(url: str | None) -> str | None:
    """`url` if it is a Redis URL, None if there is none. Raises BadInput."""
    try:
        return TaskSettings(broker_url=url).broker_url if url else None
    except BadSetting as error:
        raise BadInput("--broker", *error.args[1:]) from error


def ping_broker(url: str) -> None:
    """Raises NotReady if no Redis answers at `url`."""
    try:
        with contextlib.closing(connect_once(url, BROKER_TIMEOUT_S)) as client:
            client.ping()
    except redis.RedisError as error:
        why = str(error).rstrip(".")
        raise NotReady(
            f"No Redis answers at {redact(url)} ({why})", "start it, or leave out --broker"
        ) from error


def check_port(port: int) -> None:
    """Raises NotReady if the port is taken on this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            remedy = "choose another with --monitor-port, or leave Flower out: --without-monitor"
            raise NotReady(f"Port {port} for Flower is taken ({error.strerror})", remedy) from error


def found_browsers(console: Console) -> list[Browser]:
    """The browsers on this machine; prints which are missing and how to install them."""
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
