"""`webinfer alerts`: list open alerts, test the notification targets."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import click
import redis
from rich.table import Table

from browser_runtime.contract.errors import BadSetting
from scheduler.alerts.alert import OpenAlert
from scheduler.alerts.notifications import Notification
from scheduler.alerts.store import AlertStore
from scheduler.alerts.targets import parse_targets
from scheduler.settings import SchedulerSettings
from tasks.app import app
from webinfer.commands.parameters import AS_JSON
from webinfer.producing import no_broker
from webinfer.tables import output_console, plain_text
from webinfer.words import say


@click.group("alerts")
def command() -> None:
    """List the open alerts, and send a test notification.

    Alerts are raised for regressions, open circuit breakers, queues that do not answer, missed scheduler
    beats and messages that had to be discarded.
    """


@command.command("list")
@AS_JSON
def show(as_json: bool) -> None:
    """List the open alerts, and the notifications that are not delivered yet."""
    store = AlertStore(app.redis, app.settings.redis_prefix)
    try:
        opened, pending = store.open_alerts(), list(store.notifications().values())
    except redis.RedisError as error:
        raise no_broker() from error
    found = sorted(opened.values(), key=lambda each: (-each.alert.severity.rank, each.opened_at_s))
    if as_json:
        waiting = [each.to_plain() for each in pending]
        click.echo(json.dumps({"open": [each.to_plain() for each in found], "waiting": waiting}, indent=2))
    else:
        _print(found, pending)


def _print(found: list[OpenAlert], pending: list[Notification]) -> None:
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
    for notification in pending:
        line = f"not delivered yet after {notification.n_tries} tries: {plain_text(notification.title)}"
        console.print(line, markup=False)


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
        say(f"{target.name}: {'delivered' if receipt.taken else f'refused: {receipt.why}'}")
    if n_refused:
        raise click.ClickException(f"{n_refused} of {len(targets)} receivers did not take it")
