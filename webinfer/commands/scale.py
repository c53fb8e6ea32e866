"""`webinfer scale`: makes docker compose or Kubernetes run as many workers as the autoscaler decided."""

from __future__ import annotations

import shlex

import click
import redis
from rich.console import Console
from rich.markup import escape

from browser_runtime.contract.errors import BadInput, SetupError
from browser_runtime.contract.vocabulary import Browser
from scheduler.autoscaling.desired import DesiredStore, DesiredWorkers
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
from webinfer.tables import SafeConsole, output_console


@click.command("scale")
@click.option(
    "--scaler",
    "kind",
    type=click.Choice(["show", "compose", "kubernetes"]),
    default="show",
    show_default=True,
    help="What starts and stops the workers; show only prints the decisions.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="QUEUE=NAME",
    help="Service or deployment of a queue's workers; repeatable. Default: worker-firefox and so on.",
)
@click.option(
    "--program",
    default="docker compose",
    show_default=True,
    help="With compose: the command to call; `docker-compose` for version 1.",
)
@click.option(
    "--file",
    "file",
    type=click.Path(),
    help="With compose: path of the compose file. Default: the one in this folder.",
)
@click.option(
    "--namespace", default="default", show_default=True, help="With kubernetes: namespace of the deployments."
)
@click.option("--dry-run", is_flag=True, help="Print the commands instead of running them.")
@click.option("--once", is_flag=True, help="Carry out the current decisions, then exit.")
def command(
    kind: str,
    names: tuple[str, ...],
    program: str,
    file: str | None,
    namespace: str,
    dry_run: bool,
    once: bool,
) -> None:
    """Run as many workers as the autoscaler decides, until Ctrl-C.

    The scheduler decides every 5 seconds (docs/autoscaling.md). Decisions are carried out only if it runs
    with WEBINFER_AUTOSCALING=on; by default it only publishes them.
    """
    targets = parse_names(names)
    desired = DesiredStore(app.redis, app.settings.redis_prefix)
    try:
        if kind == "show":
            _show(desired)
            return
        options = ("-f", file) if file else ()
        compose = ComposeScaler(targets, parse_program(program), options)
        scaler: Scaler = compose if kind == "compose" else KubernetesScaler(targets, namespace)
        follow(desired, Follower(scaler, list(targets)), dry_run=dry_run, once=once)
    except redis.ConnectionError as error:
        raise no_broker() from error


def parse_program(program: str) -> tuple[str, ...]:
    """A command line split into words. Raises BadInput."""
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


def follow(desired: DesiredStore, follower: Follower, *, dry_run: bool, once: bool) -> None:
    """Carry out decisions as they come. A failing command is printed; with `once` it is raised."""
    console = SafeConsole()
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
            follower.note_done(wanted)
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


def _show(desired: DesiredStore) -> None:
    from rich.table import Table

    table = Table("queue", "workers", "stop", "acted on", "why")
    for queue, wanted in sorted(desired.read().items()):
        table.add_row(queue, str(wanted.n), " ".join(wanted.stop), _acted_on(wanted), wanted.reason)
    output_console().print(table)


def _acted_on(wanted: DesiredWorkers) -> str:
    return "no: dry run" if wanted.dry_run else "yes"
