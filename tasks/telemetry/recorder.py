"""Rows wait here for the history; a thread of its own delivers them. Who puts one never waits.

A row that cannot be delivered is tried again with the same number, so that the reader can tell a row that
came twice. When too many wait, the oldest go and are counted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from tasks.periodic import failed_turns
from tasks.telemetry.stream import MAX_ROWS, Row

log = structlog.get_logger(__name__)

# A row is in Redis at most this much later; an entry of the stream then holds what this time brought.
INTERVAL_S = 2.0
# Rows that wait while nothing can be delivered: about 20 MB of a worker's memory.
MAX_WAITING = 20_000
# The last delivery of a process that ends.
STOP_TIMEOUT_S = 5.0

Deliver = Callable[[list[Row], int], None]
"""Takes (rows, how many came before them) and raises where they could not be delivered."""


@dataclass(slots=True)
class PeriodicTask:
    """Something the thread does now and then."""

    every_s: float
    work: Callable[[], None]
    due: float = 0.0


class Recorder:
    """A bounded buffer of rows and the thread that empties it."""

    def __init__(
        self, deliver: Deliver, *, interval_s: float = INTERVAL_S, max_waiting: int = MAX_WAITING
    ) -> None:
        self.n_dropped = 0
        """Rows that had to go because too many waited."""
        self.periodic: list[PeriodicTask] = []
        self._deliver, self._interval_s, self._max = deliver, interval_s, max_waiting
        self._rows: deque[Row] = deque()
        self._batch: tuple[list[Row], int] | None = None
        self._n_before = 0
        self._lock, self._wake = threading.Lock(), threading.Event()
        self._stopping = self._failing = False
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    @property
    def n_waiting(self) -> int:
        """Rows not yet delivered."""
        return len(self._rows) + (len(self._batch[0]) if self._batch else 0)

    def put(self, row: Row) -> None:
        """Keep `row` for the history, as of now."""
        row[1].setdefault("at", time.time())
        with self._lock:
            if len(self._rows) >= self._max:
                self._rows.popleft()
                self.n_dropped += 1
                self._n_before += 1
            self._rows.append(row)
        if len(self._rows) >= MAX_ROWS:
            self._wake.set()

    def start(self) -> None:
        """Deliver from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Deliver what there is, once, and end; what cannot be delivered then is lost."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(self._interval_s)
            self._wake.clear()
            self._run_periodic()
            self.flush()

    def _run_periodic(self) -> None:
        now = time.monotonic()
        for task in self.periodic:
            if now >= task.due and not self._stopping:
                task.due = now + task.every_s
                self._attempt(task.work)

    def flush(self) -> bool:
        """Deliver everything there is now; whether that went well. Only for the thread, or without it."""
        while self._take():
            if not self._attempt(self._deliver_batch):
                return False
        return True

    def _deliver_batch(self) -> None:
        if self._batch is not None:
            self._deliver(*self._batch)
            self._batch = None

    def _take(self) -> bool:
        """Have a batch in hand; False where nothing waits."""
        if self._batch is None:
            with self._lock:
                rows = [self._rows.popleft() for _ in range(min(len(self._rows), MAX_ROWS))]
                self._batch = (rows, self._n_before) if rows else None
                self._n_before += len(rows)
        return self._batch is not None

    def _attempt(self, work: Callable[[], Any]) -> bool:
        """Do it; False if it failed. A failure is logged once, when it begins."""
        try:
            work()
        except Exception as error:
            failed_turns["recorder"] += 1
            if not self._failing:
                log.warning("telemetry not delivered", reason=str(error), n_waiting=self.n_waiting)
            self._failing = True
            return False
        self._failing = False
        return True
