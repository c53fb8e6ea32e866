"""`webinfer scale`: have docker compose or Kubernetes run as many workers as autoscaling decided."""

from __future__ import annotations

import shlex

import click
import redis
from rich.console import Console
from rich.markup import escape

from browser_runtime.contract.errors import BadInput, SetupError
from browser_runtime.contract.vocabulary import Browser
from scheduler.autoscaling.desired import Desired, DesiredWorkers
from scheduler.autoscaling.scalers import (
    Command,
    ComposeScaler,
    Follower,
    KubernetesScaler,
    Scaler,
    ScalerFailed,
    run_all,
)
from tasks.app import app
from tasks.routing.router import BROWSER_OF, QUEUE_OF
from webinfer.producing import no_broker
from webinfer.tables import output_console


@click.command("scale")
@click.option(
    "--scaler",
    "kind",
    type=click.Choice(["show", "compose", "kubernetes"]),
    default="show",
    show_default=True,
    help="show: print what was decided, and do nothing.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="QUEUE=NAME",
    help="A queue's service or deployment; default: worker-firefox, worker-chrome, worker-edge.",
)
@click.option(
    "--program", default="docker compose", show_default=True, help="For compose; or `docker-compose`."
)
@click.option("--file", "file", type=click.Path(), help="For compose: the file, if it is not in this folder.")
@click.option("--namespace", default="default", show_default=True, help="For Kubernetes.")
@click.option("--dry-run", is_flag=True, help="Print the commands instead of running them.")
@click.option("--once", is_flag=True, help="Do what is decided now, then end.")
def command(
    kind: str,
    names: tuple[str, ...],
    program: str,
    file: str | None,
    namespace: str,
    dry_run: bool,
    once: bool,
) -> None:
    """Follow what autoscaling decides (WEBINFER_AUTOSCALING=on), until Ctrl-C."""
    targets = parse_names(names)
    desired = Desired(app.redis, app.settings.redis_prefix)
    try:
        if kind == "show":
            _show(desired)
            return
        options = ("-f", file) if file else ()
        compose = ComposeScaler(targets, parse_program(program), options)
        scaler: Scaler = compose if kind == "compose" else KubernetesScaler(targets, namespace)
        follow(desired, Follower(scaler, list(targets)), dry_run=dry_run, once=once)
    except redis.ConnectionError as error:
        raise no_broker(error) from error


def parse_program(program: str) -> tuple[str, ...]:
    """The words of a command line. Raises BadInput."""
    try:
        words = tuple(shlex.split(program))
    except ValueError:
        words = ()
    if not words:
        raise BadInput("--program", repr(program), "a command, with every quote closed")
    return words


def parse_names(names: tuple[str, ...]) -> dict[str, str]:
    """Service or deployment by queue. Raises BadInput."""
    found = {QUEUE_OF[browser]: f"worker-{browser}" for browser in Browser}
    for text in names:
        queue, _, name = text.partition("=")
        if queue not in BROWSER_OF or not name:
            raise BadInput("--name", repr(text), f"QUEUE=NAME with a queue of {', '.join(BROWSER_OF)}")
        found[queue] = name
    return found


def follow(desired: Desired, follower: Follower, *, dry_run: bool, once: bool) -> None:
    """Follow decisions as they come. A failing command is printed; with `once` it is raised."""
    console = Console()
    for decisions in desired.changes():
        for wanted, commands in follower.plan(decisions):
            console.print(
                f"{wanted.queue}: {wanted.n} workers ({wanted.reason})", highlight=False, soft_wrap=True
            )
            if dry_run:
                for one in commands:
                    console.print(f"  {one}", highlight=False, soft_wrap=True, markup=False)
            elif not _run(commands, console, once):
                continue
            follower.fulfilled(wanted)
        if once:
            return


def _run(commands: list[Command], console: Console, once: bool) -> bool:
    try:
        run_all(commands)
    except (SetupError, ScalerFailed) as error:
        if once:
            raise
        console.print(f"[red]not done[/]: {escape(str(error))}", highlight=False, soft_wrap=True)
        return False
    return True


def _show(desired: Desired) -> None:
    from rich.table import Table

    table = Table("queue", "workers", "stop", "acted on", "why")
    for queue, wanted in sorted(desired.read().items()):
        table.add_row(queue, str(wanted.n), " ".join(wanted.stop), _acted_on(wanted), wanted.reason)
    output_console().print(table)


def _acted_on(wanted: DesiredWorkers) -> str:
    return "no: dry run" if wanted.dry_run else "yes"
