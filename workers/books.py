"""A worker's books: its telemetry, the thread that delivers it to Redis, and what that thread does beside."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import Any

from browser_runtime.loops import LoopThread
from browser_runtime.vocabulary import Browser
from tasks import serving
from tasks.app import WebinferApp
from tasks.telemetry import Row, emit
from workers.recorder import Chore, Recorder
from workers.telemetry import HEALTH_INTERVAL_S, Telemetry

# A model that was pulled or imported meanwhile.
MODELS_INTERVAL_S = 300.0
STATUS_TIMEOUT_S = 5.0


class Books:
    """Kept from before the browsers open until after they have closed."""

    def __init__(self, app: WebinferApp, worker: str, loop: LoopThread) -> None:
        self._app, self._loop = app, loop
        # A worker that is started again under its name counts its rows anew.
        self._source = f"{worker}/{os.getpid()}/{time.time_ns():x}"
        self.recorder = Recorder(self._deliver)
        self.telemetry = Telemetry(self.recorder, worker)

    def _deliver(self, rows: list[Row], before: int) -> None:
        app = self._app
        emit(app.redis, rows, app.settings, source=self._source, before=before)

    def open(self, runner: Any, browser: Browser, queues: Iterable[str]) -> None:
        """Start delivering, and telling of `runner` and of the queues served."""
        served = tuple(queues)
        self.recorder.chores += [
            Chore(serving.INTERVAL_S, lambda: self._announce(served)),
            Chore(HEALTH_INTERVAL_S, lambda: self._sample(runner)),
        ]
        if hasattr(runner, "store"):  # runners in memory have none
            listing = runner.store.listing
            self.recorder.chores.append(
                Chore(MODELS_INTERVAL_S, lambda: self.telemetry.list_models(str(browser), listing))
            )
        self.recorder.start()

    def _announce(self, queues: tuple[str, ...]) -> None:
        serving.announce(self._app.redis, self._app.settings.redis_prefix, queues)

    def _sample(self, runner: Any) -> None:
        async def look() -> dict[str, Any]:
            found: dict[str, Any] = runner.status()
            return found

        self.telemetry.sample(self._loop.call(look(), STATUS_TIMEOUT_S))

    def close(self) -> None:
        """Deliver what there is and end."""
        self.recorder.stop()
