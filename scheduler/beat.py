"""Celery's beat with its state in Redis: sends each entry once per period, even if several beats run.

No file is kept: a restarted beat, on any machine, reads from Redis when each entry was last sent.
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

# The longest pause between two signs of life.
LOOP_S = 5


class OnceScheduler(Scheduler):
    """The beat scheduler that scheduler/app.py names to Celery."""

    max_interval = LOOP_S
    # Celery's stubs stop short of these.
    schedule: Any
    app: Any

    def setup_schedule(self) -> None:
        """Load the timetable, and from Redis when each entry was last sent."""
        super().setup_schedule()
        self.merge_inplace(beat_schedule(self.app.tasks))
        try:
            sent = self._keys.sent()
        except redis.RedisError as error:
            log.warning("last send times unavailable: %s", error)
            return
        for name, entry in self.schedule.items():
            if name in sent:
                entry.last_run_at = datetime.fromtimestamp(sent[name], UTC)

    @property
    def _keys(self) -> PeriodKeys:
        return period_keys()

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **options: Any) -> Any:
        """Send the entry, unless another beat has sent it in this period."""
        line = BY_NAME.get(entry.name)
        if line is not None and not self._keys.take(entry.name, line.interval_s, time.time()):
            log.debug("entry sent by another beat: %s", entry.name)
            return None
        return super().apply_async(entry, producer=producer, advance=advance, **options)

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        """Run one step, and record a sign of life."""
        delay_s = super().tick(*args, **kwargs)
        try:
            self._keys.beat(time.time())
        except redis.RedisError as error:
            log.warning("sign of life not recorded: %s", error)
        return delay_s

    @property
    def info(self) -> str:
        """The line that beat prints at its start."""
        return f"    . entries -> {', '.join(self.schedule)}"
