"""`webinfer alerts`: list open alerts, test the notification targets."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import click
import redis
from rich.table import Table

from browser_runtime.contract.errors import BadSetting
from scheduler.alerts.alert import OpenAlert
from scheduler.alerts.memory import Memory
from scheduler.alerts.notifications import Notification
from scheduler.alerts.targets import parse_targets
from scheduler.settings import SchedulerSettings
from tasks.app import app
from webinfer.producing import no_broker
from webinfer.tables import output_console, plain_text

Plain = dict[str, Any]


@click.group("alerts")
def command() -> None:
    """List the open alerts, and send a test notification.

    Alerts are raised for regressions, open circuit breakers, queues that do not answer, missed scheduler
    beats and messages that had to be discarded.
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(as_json: bool) -> None:
    """List the open alerts, and the notifications that are not delivered yet."""
    memory = Memory(app.redis, app.settings.redis_prefix)
    try:
        opened, letters = memory.open_alerts(), memory.letters()
    except redis.RedisError as error:
        raise no_broker() from error
    found = sorted(opened.values(), key=lambda each: (-each.alert.severity.rank, each.opened_at_s))
    if as_json:
        waiting = [letter.as_plain() for letter in letters.values()]
        click.echo(json.dumps({"open": [each.as_plain() for each in found], "waiting": waiting}, indent=2))
    else:
        _print(found, list(letters.values()))


def _print(found: list[OpenAlert], letters: list[Notification]) -> None:
    console = output_console()
    if found:
        table = Table("severity", "since (UTC)", "alert", "text")
        for each in found:
            since = datetime.fromtimestamp(each.opened_at_s, UTC).strftime("%Y-%m-%d %H:%M:%S")
            cells = (each.alert.severity, since, each.alert.title, each.alert.text)
            table.add_row(*(plain_text(cell) for cell in cells))
        console.print(table)
    else:
        console.print("no alert is open")
    for letter in letters:
        told = f"not delivered yet after {letter.n_tries} tries: {plain_text(letter.title)}"
        console.print(told, markup=False)


@command.command("test")
def test() -> None:
    """Send a test notification to every URL in WEBINFER_ALERT_URLS.

    Exit code 1 if one of them was not delivered.
    """
    targets = parse_targets(SchedulerSettings().alert_urls.get_secret_value())
    if not targets:
        allowed = "Apprise URLs, comma separated: see https://appriseit.com/services"
        raise BadSetting("WEBINFER_ALERT_URLS", "not set", allowed)
    at = datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%d %H:%M:%S")
    n_refused = 0
    for target in targets:
        receipt = target.send("[webinfer] test", f"A test of alerts, sent {at} UTC.", "test")
        n_refused += not receipt.taken
        click.echo(f"{target.name}: {'delivered' if receipt.taken else f'refused: {receipt.why}'}")
    if n_refused:
        raise click.ClickException(f"{n_refused} of {len(targets)} receivers did not take it")
