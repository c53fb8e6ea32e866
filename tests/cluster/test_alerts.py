"""Alerts remembered in a real Redis and delivered to a real HTTP server, at least once and not twice."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import redis
from click.testing import CliRunner

from scheduler.alerts.alert import News, Notice
from scheduler.alerts.conditions import AlertThresholds, BeatHealth, Conditions
from scheduler.alerts.notifications import FIRST_WAIT_S
from scheduler.alerts.store import AlertStore
from scheduler.alerts.targets import Target, parse_targets
from scheduler.alerts.tasks import check_alerts
from tasks.broker.redis_clients import connect
from tasks.settings import TaskSettings
from tests.unit.alerts.conftest import Receiver, receiver  # noqa: F401 - a fixture
from webinfer.commands.alerts import command

pytestmark = [pytest.mark.redis, pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")]

FINE = Conditions(regressions=[], breakers=[], queues=[], beat=BeatHealth(0), letters=[])
SILENT = Conditions(regressions=[], breakers=[], queues=[], beat=BeatHealth(100), letters=[])
PREFIX = "alerts-test:"


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """A client that leaves no key behind."""
    found = connect(redis_url)
    yield found
    for key in found.scan_iter(f"{PREFIX}*"):
        found.delete(key)
    found.close()


@pytest.fixture
def store(client: redis.Redis) -> AlertStore:
    """An empty store of alerts."""
    return AlertStore(client, PREFIX)


def check(store: AlertStore, targets: list[Target], seen: Conditions, now_s: float) -> list[Notice]:
    return check_alerts(store, targets, lambda: seen, AlertThresholds(), lambda: now_s)


def test_it_is_told_when_it_opens_and_when_it_is_over(store: AlertStore, receiver: Receiver) -> None:  # noqa: F811
    targets = parse_targets(receiver.url())
    told = [
        [notice.news for notice in check(store, targets, seen, at_s)]
        for at_s, seen in enumerate([SILENT, SILENT, FINE, FINE, FINE])
    ]
    assert told == [[News.OPENED], [], [], [News.CLOSED], []]
    assert [post["title"] for post in receiver.posted] == [
        "[webinfer] HIGH: beat is silent",
        "[webinfer] OVER: beat is silent",
    ]
    assert store.open_alerts() == store.notifications() == {}


def test_what_was_refused_waits_in_redis_and_is_told_later(
    store: AlertStore,
    receiver: Receiver,  # noqa: F811
    client: redis.Redis,
) -> None:
    targets = parse_targets(receiver.url())
    receiver.status = 500
    check(store, targets, SILENT, 0.0)
    (letter,) = store.notifications().values()
    assert letter.n_tries == 1
    receiver.status = 200
    # Another process, as after a restart.
    again = AlertStore(client, PREFIX)
    check(again, targets, SILENT, FIRST_WAIT_S - 1)
    assert len(receiver.posted) == 1
    check(again, targets, SILENT, FIRST_WAIT_S)
    check(again, targets, SILENT, FIRST_WAIT_S + 1)
    assert len(receiver.posted) == 2
    assert store.notifications() == {}


def test_only_the_receiver_that_refused_is_told_again(
    store: AlertStore,
    receiver: Receiver,  # noqa: F811
) -> None:
    with Receiver() as closed:
        away = closed.url()
    targets = parse_targets(f"{receiver.url()}, {away}")
    check(store, targets, SILENT, 0.0)
    check(store, targets, SILENT, FIRST_WAIT_S)
    assert len(receiver.posted) == 1
    (letter,) = store.notifications().values()
    assert (letter.targets, letter.n_tries) == ((targets[1].id,), 2)


def test_without_receivers_it_is_open_and_nothing_piles_up(store: AlertStore) -> None:
    check(store, [], SILENT, 0.0)
    assert list(store.open_alerts()) == ["beat:silent"]
    assert store.notifications() == {}


def test_no_url_reaches_redis(store: AlertStore, receiver: Receiver, client: redis.Redis) -> None:  # noqa: F811
    receiver.status = 500
    check(store, parse_targets(receiver.url("s3cret")), SILENT, 0.0)
    kept = client.hgetall(f"{PREFIX}alerts:outbox")
    assert kept
    assert b"s3cret" not in repr(kept).encode()


def test_the_command_lists_what_is_open_and_undelivered(
    client: redis.Redis,
    settings: TaskSettings,
    receiver: Receiver,  # noqa: F811
) -> None:
    store = AlertStore(client, settings.redis_prefix)
    receiver.status = 500
    try:
        check(store, parse_targets(receiver.url()), SILENT, 0.0)
        told = json.loads(CliRunner().invoke(command, ["list", "--json"]).output)
        table = CliRunner().invoke(command, ["list"]).output
    finally:
        client.delete(f"{settings.redis_prefix}alerts:open", f"{settings.redis_prefix}alerts:outbox")
    assert [each["key"] for each in told["open"]] == ["beat:silent"]
    assert told["waiting"][0]["n_tries"] == 1
    assert "beat is silent" in table
    assert "not delivered yet after 1 tries: [webinfer] HIGH" in table


def test_the_command_tries_every_receiver(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    with Receiver() as closed:
        away = closed.url("s3cret")
    monkeypatch.setenv("WEBINFER_ALERT_URLS", receiver.url())
    assert CliRunner().invoke(command, ["test"]).output == "json #1: delivered\n"
    monkeypatch.setenv("WEBINFER_ALERT_URLS", f"{receiver.url()},{away}")
    result = CliRunner().invoke(command, ["test"])
    assert result.exit_code == 1
    assert "json #2: refused" in result.output
    assert "s3cret" not in result.output
    assert [post["type"] for post in receiver.posted] == ["info", "info"]
