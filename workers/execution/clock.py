"""The clock Celery's tracer measures a task's run time with."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class TracerClock(threading.local):
    """Monotonic seconds; set back for its next reading by what the body took on the event loop.

    The tracer reads it before and after `run`, which only hands over an outcome: without this, log and
    events would say that every task took a millisecond.
    """

    _back_s = 0.0

    @contextmanager
    def set_back(self, seconds: float) -> Iterator[None]:
        """The next reading in this thread lies `seconds` in the past."""
        self._back_s = seconds
        try:
            yield
        finally:
            self._back_s = 0.0

    def __call__(self) -> float:
        back_s, self._back_s = self._back_s, 0.0
        return time.monotonic() - back_s


tracer_clock = TracerClock()
