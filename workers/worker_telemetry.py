"""A worker's telemetry: rows, the thread that delivers them to Redis, metrics."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

import redis

from browser_runtime.contract.events import PoolObservers
from browser_runtime.contract.status import PoolStatus
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.loops import LoopThread
from tasks.app import WebinferApp
from tasks.broker.redis_health import tell_clock
from tasks.periodic import failed_turns
from tasks.routing.router import BROWSER_OF
from tasks.routing.serving import INTERVAL_S as ANNOUNCE_INTERVAL_S
from tasks.routing.serving import announce, withdraw
from tasks.telemetry import Row, emit
from tasks.telemetry.observer import HEALTH_INTERVAL_S, TelemetryObserver
from tasks.telemetry.recorder import PeriodicTask, Recorder
from workers.exposition import Exposition, expose
from workers.metrics import WorkerMetrics
from workers.observed_runner import ObservedRunner
from workers.settings import MetricsSettings

T = TypeVar("T")

# A model that was pulled or imported meanwhile.
MODELS_INTERVAL_S = 300.0
STATUS_TIMEOUT_S = 5.0


class WorkerTelemetry:
    """Kept from before the browsers open until after they have closed."""

    def __init__(self, app: WebinferApp, worker: str, browser: Browser, loop: LoopThread) -> None:
        self._app, self._worker, self._browser, self._loop = app, worker, browser, loop
        # A worker that is started again under its name counts its rows anew.
        self._source = f"{worker}/{os.getpid()}/{time.time_ns():x}"
        self.recorder = Recorder(self._deliver)
        self.telemetry = TelemetryObserver(self.recorder, worker)
        self._served: tuple[str, ...] = ()
        self.metrics = WorkerMetrics(worker, str(browser))
        self.observer = PoolObservers(self.telemetry, self.metrics)
        self._runner: Any = None
        self._exposition: Exposition | None = None

    def _deliver(self, rows: list[Row], before: int) -> None:
        app = self._app
        emit(app.optional_redis, rows, app.settings, source=self._source, before=before)

    def watch(self, runner: Any) -> ObservedRunner:
        """`runner`, whose runs are put down from now on."""
        self._runner = runner
        return ObservedRunner(runner, (self.telemetry, self.metrics), str(self._browser))

    def open(self, queues: Iterable[str]) -> None:
        """Start delivering, and telling of the runner that is watched and of the queues served."""
        self._served, runner = tuple(queue for queue in queues if queue in BROWSER_OF), self._runner
        with suppress(redis.RedisError):  # it is said again in a moment
            self._announce()
        self.recorder.periodic += [
            PeriodicTask(ANNOUNCE_INTERVAL_S, self._announce),
            PeriodicTask(HEALTH_INTERVAL_S, lambda: self.telemetry.sample(self._status())),
        ]
        if hasattr(runner, "store"):  # runners in memory have none
            listing = runner.store.listing
            self.recorder.periodic.append(
                PeriodicTask(
                    MODELS_INTERVAL_S, lambda: self.telemetry.list_models(str(self._browser), listing)
                )
            )
        self.recorder.start()
        self.metrics.show(self._status)
        self._exposition = expose(self.metrics.registry, MetricsSettings())

    def _announce(self) -> None:
        announce(self._app.redis, self._app.settings.redis_prefix, self._served)
        tell_clock(self._app.redis, self._app.settings.redis_prefix, self._worker)

    def _status(self) -> PoolStatus:
        """The runner's state, read on its loop, from any other thread."""
        status: PoolStatus = self._on_loop(self._runner.status)
        return status

    def report(self) -> dict[str, Any]:
        """The values of an integration's `get_metrics`, of this worker's pool; the address of its metrics.

        A runner that is no pool tells its state instead.
        """
        performance = self.metrics.tally.performance()
        if hasattr(self._runner, "fleet"):
            from browser_runtime.pool.reporting.metrics import pool_metrics

            found = self._on_loop(lambda: pool_metrics(self._runner, performance))
        else:
            found = self._status().to_wire() | {"performance": performance}
        found |= {"failed_turns": dict(failed_turns)}
        return found | {"metrics_address": self._exposition.address if self._exposition else None}

    def _on_loop(self, read: Callable[[], T]) -> T:
        async def reading() -> T:
            return read()

        return self._loop.call(reading(), STATUS_TIMEOUT_S)

    def close(self) -> None:
        """Deliver what there is and end."""
        if self._exposition is not None:
            self._exposition.close()
        self.recorder.stop()
        with suppress(redis.RedisError):  # what was announced expires by itself
            if self._served:
                withdraw(self._app.redis, self._app.settings.redis_prefix, self._served)
