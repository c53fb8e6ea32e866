"""The history of an integration: rows of its runs and sessions, which a thread writes into a DuckDB file."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.messages import Reply, Request
from browser_runtime.contract.status import PoolStatus
from scheduler.history.history import History
from tasks.telemetry import Row
from tasks.telemetry.observer import HEALTH_INTERVAL_S, TelemetryObserver
from tasks.telemetry.recorder import PeriodicTask, Recorder
from tasks.telemetry.rows import RequestOrigin

# Without a queue there is neither a task nor a routing reason.
NO_QUEUE = RequestOrigin()


class LocalHistory:
    """An open history and its writing thread. Raises HistoryUnavailable if the file cannot be opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._history: History | None = History(path)
        self.recorder = Recorder(self._deliver)
        self.telemetry = TelemetryObserver(self.recorder, f"{socket.gethostname()}/{os.getpid()}")

    def start(self, status: Callable[[], PoolStatus | None]) -> None:
        """Start writing; the writing thread calls `status`, the pool's, periodically."""
        self.recorder.periodic.append(
            PeriodicTask(HEALTH_INTERVAL_S, lambda: self.telemetry.sample(status()))
        )
        self.recorder.start()

    def _deliver(self, rows: list[Row], before: int) -> None:
        """Append all rows or none, so that a retry stores none twice."""
        if self._history is None or self._history.broken:
            self._close_file()
            self._history = History(self.path)
        self._history.append(rows)

    def answered(self, request: Request, reply: Reply) -> None:
        """Record an answered request."""
        self.telemetry.ran(request, reply, NO_QUEUE)

    def failed(self, request: Request, error: InferenceError, took_s: float) -> None:
        """Record a failed request."""
        self.telemetry.failed(request, error, NO_QUEUE, str(request.browser or ""), took_s)

    def state(self) -> dict[str, object]:
        """The state as plain values for `get_metrics`."""
        rows = {"rows_waiting": self.recorder.n_waiting, "rows_dropped": self.recorder.n_dropped}
        return {"db_path": str(self.path), **rows}

    def close(self) -> None:
        """Write the pending rows and close the file. Blocks."""
        self.recorder.stop()
        self._close_file()

    def _close_file(self) -> None:
        history, self._history = self._history, None
        if history is not None:
            history.close()
