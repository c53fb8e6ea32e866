"""The task that checks for alerts; runs in the watch worker, and queries the analytics worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import redis
from celery.result import allow_join_result
from celery.utils.log import get_logger

from scheduler.alerts.alert import News, Notice
from scheduler.alerts.conditions import AlertThresholds, Conditions
from scheduler.alerts.delivering import deliver_due
from scheduler.alerts.following import follow
from scheduler.alerts.notifications import write_notification
from scheduler.alerts.observing import AlertObserver
from scheduler.alerts.rules import judge
from scheduler.alerts.store import AlertStore
from scheduler.alerts.targets import Target, usable_targets
from scheduler.history.asking import ask
from scheduler.history.history import QueryRow
from scheduler.periods import only_one
from scheduler.settings import SchedulerSettings
from tasks.app import app
from tasks.broker.redis_clients import connect
from tasks.telemetry import Row, emit

log = get_logger(__name__)

# Longer than a check in which the history and every receiver time out.
LOCK_S = 300.0
# The check comes every 15 s.
ASK_TIMEOUT_S = 10.0


@app.task(name="scheduler.alerts.check", ignore_result=True)
def check() -> None:
    """Run one check; its notices are also recorded in the history."""
    with only_one("alerts", LOCK_S) as is_ours:
        if is_ours:
            notices = check_now()
            emit(app.redis, map(as_row, notices))


def check_now() -> list[Notice]:
    """The notices of one check. Raises redis.RedisError."""
    settings, prefix = SchedulerSettings(), app.settings.redis_prefix
    days, window_s = settings.alert_regression_days, settings.alert_error_window_s
    share = app.settings.redis_memory_share
    observer = AlertObserver(app.redis, prefix, ask_history, days, window_s, broker(), share)
    receivers = targets(settings.alert_urls.get_secret_value())
    observe = partial(observer.observe, time.time())
    limits = AlertThresholds(error_rate=settings.alert_error_rate)
    return check_alerts(AlertStore(app.redis, prefix), receivers, observe, limits, time.time)


def ask_history(name: str, **params: Any) -> list[QueryRow]:
    """The rows of a query. Another worker answers it, so waiting here cannot block the answer."""
    with allow_join_result():
        return ask(name, timeout_s=ASK_TIMEOUT_S, **params)


@cache
def broker() -> redis.Redis:
    """The Redis that holds the queues."""
    return connect(app.settings.broker_url)


@cache
def targets(urls: str) -> list[Target]:
    """The receivers, created once."""
    return usable_targets(urls)


def as_row(notice: Notice) -> Row:
    """The history's row for a notice."""
    alert = notice.alert
    state = "closed" if notice.news is News.CLOSED else "opened"
    values = {"key": alert.key, "severity": str(alert.severity), "title": alert.title, "text": notice.body}
    return "alerts", values | {"state": state}


def check_alerts(
    store: AlertStore,
    targets: Sequence[Target],
    observe: Callable[[], Conditions],
    limits: AlertThresholds,
    clock: Callable[[], float],
) -> list[Notice]:
    """Run one check; returns its notices, which are stored and sent. Must not run twice at a time.

    `clock` gives seconds since 1970.
    """
    found, unseen = judge(observe(), limits)
    update = follow(store.open_alerts(), found, unseen, clock())
    _log(update.notices)
    receivers = tuple(target.id for target in targets)
    notifications = [write_notification(notice, receivers, clock()) for notice in update.notices if receivers]
    store.save(update, notifications)
    deliver_due(store, targets, clock())
    return update.notices


def _log(notices: Sequence[Notice]) -> None:
    """Log the notices, also when there are no receivers."""
    for notice in notices:
        write = log.warning if notice.news is News.CLOSED else log.error
        write("%s: %s", notice.title, notice.body)
