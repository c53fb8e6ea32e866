"""The timetable of beat: every periodic task, its interval and its queue.

| entry | task | every | queue | reason for the interval |
|---|---|---|---|---|
| drain | scheduler.history.drain | 2 s | analytics | pages and decisions see the newest rows |
| autoscale | scheduler.autoscaling.decide | 5 s | watch | a browser starts in about ten seconds |
| alerts | scheduler.alerts.check | 15 s | watch | a person reads them within minutes |
| canary | scheduler.health.canary | 30 s | watch | one small job per queue |
| publish | scheduler.routing.publish | 30 s | analytics | the router's copy is 2 s old at most |
| calibrate | scheduler.routing.calibrate | 5 min | analytics | only for idle browsers |
| analyse | scheduler.regression.analyse | 1 min | analytics | a quick sample is 20 s long |
| clean | scheduler.health.clean | 10 min | watch | nothing else removes these |
| retain | scheduler.history.retain | daily, 03:10 UTC | analytics | before the report |
| report | scheduler.reports.write | daily, 04:10 UTC | analytics | about the previous day |

A task that waits longer than its period is dropped; the next one does its work. Tasks of packages that are
not installed are left out.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from celery.schedules import crontab, schedule

from tasks.app import ANALYTICS_QUEUE, WATCH_QUEUE

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class TimetableEntry:
    """One periodic task."""

    name: str
    task: str
    interval_s: float
    queue: str
    at: str = ""
    """For a daily entry, the time of day in UTC: "HH:MM"."""

    def schedule(self) -> Any:
        """The schedule as a Celery object."""
        if not self.at:
            return schedule(timedelta(seconds=self.interval_s))
        hour, minute = self.at.split(":")
        return crontab(minute=int(minute), hour=int(hour))

    def to_celery(self) -> dict[str, object]:
        """The entry of Celery's `beat_schedule`."""
        options = {"queue": self.queue, "expires": self.interval_s, "ignore_result": True}
        return {"task": self.task, "schedule": self.schedule(), "options": options}


# Where the scheduler's tasks run, whoever sends them. (A queue named at the task itself is deprecated.)
ROUTES = {
    "scheduler.history.*": {"queue": ANALYTICS_QUEUE},
    "scheduler.routing.*": {"queue": ANALYTICS_QUEUE},
    "scheduler.regression.*": {"queue": ANALYTICS_QUEUE},
    "scheduler.reports.*": {"queue": ANALYTICS_QUEUE},
    "scheduler.alerts.*": {"queue": WATCH_QUEUE},
    "scheduler.autoscaling.*": {"queue": WATCH_QUEUE},
    "scheduler.health.*": {"queue": WATCH_QUEUE},
}

TIMETABLE = (
    TimetableEntry("drain", "scheduler.history.drain", 2, ANALYTICS_QUEUE),
    TimetableEntry("autoscale", "scheduler.autoscaling.decide", 5, WATCH_QUEUE),
    TimetableEntry("alerts", "scheduler.alerts.check", 15, WATCH_QUEUE),
    TimetableEntry("canary", "scheduler.health.canary", 30, WATCH_QUEUE),
    TimetableEntry("publish", "scheduler.routing.publish", 30, ANALYTICS_QUEUE),
    TimetableEntry("calibrate", "scheduler.routing.calibrate", 300, ANALYTICS_QUEUE),
    TimetableEntry("analyse", "scheduler.regression.analyse", 60, ANALYTICS_QUEUE),
    TimetableEntry("clean", "scheduler.health.clean", 600, WATCH_QUEUE),
    TimetableEntry("retain", "scheduler.history.retain", DAY_S, ANALYTICS_QUEUE, at="03:10"),
    TimetableEntry("report", "scheduler.reports.write", DAY_S, ANALYTICS_QUEUE, at="04:10"),
)
BY_NAME = {entry.name: entry for entry in TIMETABLE}


def beat_schedule(known: Collection[str]) -> dict[str, Any]:
    """Celery's `beat_schedule`: every entry whose task is known."""
    return {entry.name: entry.to_celery() for entry in TIMETABLE if entry.task in known}
