"""Detects a dead beat, from a timer in the watch worker, which does not depend on beat."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import redis
from celery import bootsteps
from celery.utils.log import get_logger

from scheduler.periods import PeriodKeys, period_keys
from scheduler.timetable import TIMETABLE, TimetableEntry
from tasks.app import WATCH_QUEUE, app
from tasks.periodic import Turn

log = get_logger(__name__)

ASK_S = 15.0
# Beat gives a sign of life every five seconds; this many missed ones are no accident.
SILENT_S = 30.0
# An entry this many periods late was forgotten, although beat is alive.
LATE_PERIODS = 3.0
ALERTS = "scheduler.alerts.check"


@dataclass(frozen=True, slots=True)
class BeatState:
    """The state of beat."""

    silent_s: float | None
    """Since the last sign of life; None if there was none."""
    late: tuple[str, ...]
    """Entries that were not sent for several of their periods."""

    @property
    def is_dead(self) -> bool:
        """True if beat gives no sign of life."""
        return self.silent_s is None or self.silent_s > SILENT_S


def judge_beat(
    last: float | None, sent: dict[str, float], now: float, entries: tuple[TimetableEntry, ...] = TIMETABLE
) -> BeatState:
    """The state at `now` (Unix seconds), from the last sign of life and the last send times. Pure."""
    late = (
        entry.name
        for entry in entries
        if entry.name in sent and now - sent[entry.name] > LATE_PERIODS * entry.interval_s
    )
    return BeatState(None if last is None else max(now - last, 0.0), tuple(late))


def read_beat(keys: PeriodKeys | None = None, now: float | None = None) -> BeatState:
    """The state now. Raises redis.RedisError."""
    keys = keys or period_keys()
    return judge_beat(keys.last_beat(), keys.sent(), time.time() if now is None else now)


class BeatWatch(bootsteps.StartStopStep):
    """Boot step of the watch worker: sends the alert check while beat is silent."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, c: Any, **options: Any) -> None:
        super().__init__(c, **options)
        self._timer: Any = None

    def include_if(self, c: Any) -> bool:
        """True for the worker that checks alerts."""
        return WATCH_QUEUE in c.app.amqp.queues.consume_from

    def start(self, c: Any) -> None:
        """Start the timer, after every (re)connection."""
        self._timer = c.timer.call_repeatedly(ASK_S, Turn("watch over beat", stand_in_for_beat))

    def stop(self, c: Any) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    shutdown = stop


def stand_in_for_beat() -> bool:
    """Send the alert check, once per period, if beat is dead; True if it was sent."""
    try:
        state = read_beat()
        if not state.is_dead or not period_keys().take("alerts-without-beat", ASK_S, time.time()):
            return False
        log.error("beat silent: %s", "never seen" if state.silent_s is None else f"{state.silent_s:.0f} s")
        if ALERTS in app.tasks:
            app.send_task(ALERTS, queue=WATCH_QUEUE, expires=ASK_S, ignore_result=True)
    except redis.RedisError as error:
        log.warning("state of beat unavailable: %s", error)
        return False
    return True
