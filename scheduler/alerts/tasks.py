"""The check for alerts; it runs in the watch worker, and asks the analytics worker."""

from __future__ import annotations

import time
from functools import cache, partial
from typing import Any

from celery.result import allow_join_result

from scheduler.alerts.alert import News, Notice
from scheduler.alerts.checking import check_alerts
from scheduler.alerts.conditions import AlertThresholds
from scheduler.alerts.memory import Memory
from scheduler.alerts.observing import AlertObserver
from scheduler.alerts.targets import Target, usable_targets
from scheduler.history.asking import ask
from scheduler.periods import only_one
from scheduler.settings import SchedulerSettings
from tasks.app import app
from tasks.telemetry import Row, emit

# Longer than a check in which the history and every receiver time out.
LOCK_S = 300.0
# The check comes every 15 s.
ASK_TIMEOUT_S = 10.0


@app.task(name="scheduler.alerts.check", ignore_result=True)
def check() -> None:
    """Look, judge, remember, tell; the news are rows of the history too."""
    with only_one("alerts", LOCK_S) as is_ours:
        if is_ours:
            notices = check_now()
            emit(app.redis, map(as_row, notices))


def check_now() -> list[Notice]:
    """The news of one check. Raises redis.RedisError."""
    settings, prefix = SchedulerSettings(), app.settings.redis_prefix
    days, window_s = settings.alert_regression_days, settings.alert_error_window_s
    observer = AlertObserver(app.redis, prefix, ask_history, days, window_s)
    receivers = targets(settings.alert_urls.get_secret_value())
    look = partial(observer.look, time.time())
    limits = AlertThresholds(error_rate=settings.alert_error_rate)
    return check_alerts(Memory(app.redis, prefix), receivers, look, limits, time.time)


def ask_history(name: str, **params: Any) -> list[dict[str, Any]]:
    """The rows of a query. Another worker answers it, so that waiting for it blocks nobody else's way."""
    with allow_join_result():
        return ask(name, timeout_s=ASK_TIMEOUT_S, **params)


@cache
def targets(urls: str) -> list[Target]:
    """The receivers, made once."""
    return usable_targets(urls)


def as_row(notice: Notice) -> Row:
    """A notice as the history keeps it."""
    alert = notice.alert
    state = "closed" if notice.news is News.CLOSED else "opened"
    told = {"key": alert.key, "severity": str(alert.severity), "title": alert.title, "text": notice.body}
    return "alerts", told | {"state": state}
