"""The history of one integration: rows of its runs and sessions, written into a DuckDB file by a thread."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.messages import Reply, Request
from browser_runtime.contract.status import PoolStatus
from scheduler.history.history import History
from tasks.telemetry import Row
from tasks.telemetry.observer import HEALTH_INTERVAL_S, TelemetryObserver
from tasks.telemetry.recorder import PeriodicTask, Recorder
from tasks.telemetry.rows import RequestOrigin

# No queue was between, so there is neither a task nor a reason for a queue.
NO_QUEUE = RequestOrigin()


class LocalHistory:
    """An open history and what writes into it. Raises HistoryUnavailable where the file cannot be had."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._history: History | None = History(path)
        self.recorder = Recorder(self._deliver)
        self.telemetry = TelemetryObserver(self.recorder, f"{socket.gethostname()}/{os.getpid()}")

    def start(self, status: Callable[[], PoolStatus | None]) -> None:
        """Write from now on; `status`, the pool's, is asked for now and then, from the writing thread."""
        self.recorder.periodic.append(
            PeriodicTask(HEALTH_INTERVAL_S, lambda: self.telemetry.sample(status()))
        )
        self.recorder.start()

    def _deliver(self, rows: list[Row], before: int) -> None:
        """All rows or none, so what is tried again does not come twice."""
        if self._history is None or self._history.broken:
            self._let_go()
            self._history = History(self.path)
        self._history.append(rows)

    def answered(self, request: Request, reply: Reply) -> None:
        """A request was answered."""
        self.telemetry.ran(request, reply, NO_QUEUE)

    def failed(self, request: Request, error: InferenceError, took_s: float) -> None:
        """A request failed."""
        self.telemetry.failed(request, error, NO_QUEUE, str(request.browser or ""), took_s)

    def state(self) -> dict[str, Any]:
        """Plain values for `get_metrics`."""
        told = {"rows_waiting": self.recorder.n_waiting, "rows_dropped": self.recorder.n_dropped}
        return {"db_path": str(self.path), **told}

    def close(self) -> None:
        """Write what there is, once, and let go of the file. Blocks."""
        self.recorder.stop()
        self._let_go()

    def _let_go(self) -> None:
        history, self._history = self._history, None
        if history is not None:
            history.close()
