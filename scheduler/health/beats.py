"""Does a beat live? Asked by who would otherwise wait for it in vain: the watch worker's own timer."""

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

log = get_logger(__name__)

ASK_S = 15.0
# A beat tells that it lives every five seconds; this many missed is no accident.
SILENT_S = 30.0
# An entry this many periods late was forgotten, though beat lives.
LATE_PERIODS = 3.0
ALERTS = "scheduler.alerts.check"


@dataclass(frozen=True, slots=True)
class BeatState:
    """What is known of the beats."""

    silent_s: float | None
    """Since the last sign of life; None where there never was one."""
    late: tuple[str, ...]
    """Entries that were not sent for several of their periods."""

    @property
    def is_dead(self) -> bool:
        """Whether no beat lives."""
        return self.silent_s is None or self.silent_s > SILENT_S


def judge_beat(
    last: float | None, sent: dict[str, float], now: float, entries: tuple[TimetableEntry, ...] = TIMETABLE
) -> BeatState:
    """The state at `now` (Unix seconds) from the last sign of life and when entries were sent. Pure."""
    late = (
        entry.name
        for entry in entries
        if entry.name in sent and now - sent[entry.name] > LATE_PERIODS * entry.interval_s
    )
    return BeatState(None if last is None else max(now - last, 0.0), tuple(late))


def look_at_beat(keys: PeriodKeys | None = None, now: float | None = None) -> BeatState:
    """The state now. Raises redis.RedisError."""
    keys = keys or period_keys()
    return judge_beat(keys.last_beat(), keys.sent(), time.time() if now is None else now)


class BeatWatch(bootsteps.StartStopStep):
    """In the watch worker: where beat is silent, the check for alerts is sent from here."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, c: Any, **options: Any) -> None:
        super().__init__(c, **options)
        self._timer: Any = None

    def include_if(self, c: Any) -> bool:
        """Only where the alerts are checked."""
        return WATCH_QUEUE in c.app.amqp.queues.consume_from

    def start(self, c: Any) -> None:
        """After every (re)connection."""
        self._timer = c.timer.call_repeatedly(ASK_S, stand_in_for_beat)

    def stop(self, c: Any) -> None:
        """Ask no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    shutdown = stop


def stand_in_for_beat() -> bool:
    """Send the check for alerts, once a period, where no beat lives; whether it was sent."""
    try:
        state = look_at_beat()
        if not state.is_dead or not period_keys().take("alerts-without-beat", ASK_S, time.time()):
            return False
        log.error(
            "no beat lives: silent for %s s", "ever" if state.silent_s is None else round(state.silent_s)
        )
        if ALERTS in app.tasks:
            app.send_task(ALERTS, queue=WATCH_QUEUE, expires=ASK_S, ignore_result=True)
    except redis.RedisError as error:
        log.warning("cannot ask whether beat lives: %s", error)
        return False
    return True
