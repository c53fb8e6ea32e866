"""Threads that do something again and again. No error ends them: it is logged and counted, and they go on.

Every thread and timer of ours that goes on as long as its process takes its turns here.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable

import redis

# Of the standard library: some run in producers, whose output is their own.
log = logging.getLogger(__name__)

STOP_TIMEOUT_S = 5.0
failed_turns: Counter[str] = Counter()
"""Turns of this process that ended by an error, by the name of the part."""


class Turn:
    """One piece of work that is done again and again; calling it never raises."""

    def __init__(self, name: str, work: Callable[[], object]) -> None:
        self.name, self._work = name, work
        self._failing = ""

    def __call__(self) -> bool:
        """Take a turn; False if it failed. An error is logged when it begins; a defect with its traceback."""
        try:
            self._work()
        except Exception as error:
            failed_turns[self.name] += 1
            is_new = self._failing != type(error).__name__
            self._failing = type(error).__name__
            is_outage = isinstance(error, (redis.RedisError, OSError))
            level = logging.WARNING if is_new else logging.DEBUG
            log.log(
                level, "turn failed: part=%s error=%r", self.name, error, exc_info=is_new and not is_outage
            )
            return False
        if self._failing:
            log.info("turn done again: part=%s", self.name)
        self._failing = ""
        return True


class PeriodicThread:
    """Takes a turn every `interval_s`, and at once when it is woken, until it is stopped."""

    def __init__(self, name: str, work: Callable[[], object], interval_s: float) -> None:
        self._turn, self._interval_s = Turn(name, work), interval_s
        self._woken, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def is_stopping(self) -> bool:
        """True once it is to end: a turn that waits looks here."""
        return self._stopped.is_set()

    def start(self) -> None:
        """Take the first turn one interval from now."""
        self._thread.start()

    def wake(self) -> None:
        """Take the next turn now."""
        self._woken.set()

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Take no more turns; wait for the one that is being taken."""
        self._stopped.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._woken.wait(self._interval_s)
            self._woken.clear()
            if not self._stopped.is_set():
                self._turn()
