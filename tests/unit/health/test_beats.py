"""When a beat is taken for dead, and the timetable itself."""

from __future__ import annotations

import pytest
from celery.schedules import crontab

from scheduler import timetable
from scheduler.health.beats import judge_beat
from scheduler.periods import period_number
from scheduler.timetable import TIMETABLE, TimetableEntry, beat_schedule
from tasks.app import ANALYTICS_QUEUE, WATCH_QUEUE

ENTRIES = (
    TimetableEntry("drain", "t.drain", 2, ANALYTICS_QUEUE),
    TimetableEntry("clean", "t.clean", 600, WATCH_QUEUE),
)


@pytest.mark.parametrize(("last", "dead"), [(None, True), (60.0, True), (75.0, False), (101.0, False)])
def test_a_silent_beat_is_dead(last: float | None, dead: bool) -> None:
    assert judge_beat(last, {}, 100.0, ENTRIES).is_dead is dead


def test_an_entry_that_is_forgotten_is_late_though_beat_lives() -> None:
    state = judge_beat(100.0, {"drain": 90.0, "clean": 90.0}, 100.0, ENTRIES)
    assert not state.is_dead and state.late == ("drain",)


def test_the_timetable_documents_exactly_itself() -> None:
    told = [line.split("|")[1:5] for line in (timetable.__doc__ or "").splitlines() if "| scheduler." in line]
    assert [(name.strip(), task.strip(), queue.strip()) for name, task, _, queue in told] == [
        (entry.name, entry.task, entry.queue) for entry in TIMETABLE
    ]


def test_only_tasks_that_exist_are_sent_and_none_outlives_its_period() -> None:
    found = beat_schedule({"scheduler.history.drain", "scheduler.reports.write"})
    assert set(found) == {"drain", "report"}
    assert found["drain"]["options"]["expires"] == 2
    assert found["report"]["schedule"] == crontab(minute=10, hour=4)


def test_periods_follow_each_other() -> None:
    assert [period_number(now, 5.0) for now in (0.0, 4.99, 5.0, 12.0)] == [0, 0, 1, 2]
