"""Celery's beat with memory in Redis: sends each entry once a period, whoever else beats.

Nothing is kept in a file: a beat that starts again, on whatever machine, knows when it last sent what.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import redis
from celery.beat import Scheduler
from celery.utils.log import get_logger

from scheduler.periods import PeriodKeys, period_keys
from scheduler.timetable import BY_NAME, beat_schedule

log = get_logger(__name__)

# The pulse: how long a beat that lives may be silent.
LOOP_S = 5


class OnceScheduler(Scheduler):
    """Celery finds this class by name: see scheduler/app.py."""

    max_interval = LOOP_S
    # Celery's stubs stop short of these.
    schedule: Any
    app: Any

    def setup_schedule(self) -> None:
        """The timetable, each entry with the time it was sent last."""
        super().setup_schedule()
        self.merge_inplace(beat_schedule(self.app.tasks))
        try:
            sent = self._keys.sent()
        except redis.RedisError as error:
            log.warning("cannot read when tasks were sent last: %s", error)
            return
        for name, entry in self.schedule.items():
            if name in sent:
                entry.last_run_at = datetime.fromtimestamp(sent[name], UTC)

    @property
    def _keys(self) -> PeriodKeys:
        return period_keys()

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **options: Any) -> Any:
        """Send the entry; nothing where another beat has sent this period's."""
        line = BY_NAME.get(entry.name)
        if line is not None and not self._keys.take(entry.name, line.interval_s, time.time()):
            log.debug("%s was sent by another beat", entry.name)
            return None
        return super().apply_async(entry, producer=producer, advance=advance, **options)

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        """One step; tells that this beat lives."""
        delay_s = super().tick(*args, **kwargs)
        try:
            self._keys.beat(time.time())
        except redis.RedisError as error:
            log.warning("cannot tell that beat lives: %s", error)
        return delay_s

    @property
    def info(self) -> str:
        """Shown at the start."""
        return f"    . entries -> {', '.join(self.schedule)}"
