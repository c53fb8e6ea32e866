"""Makes rows of what a pool and its runs come to. Nothing here waits, or touches Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.events import ModelLoaded, PoolObserver, PoolScaled, SessionChanged
from browser_runtime.contract.messages import Reply, Request
from browser_runtime.contract.status import PoolStatus
from tasks.telemetry import rows
from tasks.telemetry.recorder import Recorder
from tasks.telemetry.rows import RequestOrigin
from tasks.telemetry.stream import Row

# The pool's own checks of its sessions come as often.
HEALTH_INTERVAL_S = 15.0


class RunObserver:
    """Told of every run, on the pool's loop: each method returns at once and never raises.

    By itself it ignores everything.
    """

    def ran(self, request: Request, reply: Reply, origin: RequestOrigin) -> None:
        """A request was answered."""

    def failed(
        self, request: Request, error: InferenceError, origin: RequestOrigin, browser: str, took_s: float
    ) -> None:
        """A request failed."""


class TelemetryObserver(PoolObserver, RunObserver):
    """Puts a row into the recorder for every run, load, session and change of a pool."""

    def __init__(self, recorder: Recorder, worker: str) -> None:
        self.recorder, self.worker = recorder, worker
        self._drivers: dict[str, str] = {}
        self._known: dict[tuple[str, str], str] = {}

    # --- runs

    def ran(self, request: Request, reply: Reply, origin: RequestOrigin) -> None:
        """Put down a request that was answered."""
        driver = self._drivers.get(reply.session, "")
        self.recorder.put(rows.run_row(request, reply, origin, self.worker, driver))

    def failed(
        self, request: Request, error: InferenceError, origin: RequestOrigin, browser: str, took_s: float
    ) -> None:
        """Put down a request that failed."""
        self.recorder.put(rows.failure_row(request, error, origin, self.worker, browser, took_s * 1000))

    # --- the pool

    def loaded(self, event: ModelLoaded) -> None:
        """Put down a model that was opened or refused."""
        self.recorder.put(rows.load_row(event, self.worker))

    def connected(self, event: SessionChanged) -> None:
        """Put down what became of a session; with a new one also what it can do, where that is news."""
        session = event.session
        self.recorder.put(rows.connection_row(event, self.worker))
        if event.change == "opened":
            self._drivers[session.name] = session.driver
        elif event.change in ("closed", "died"):
            self._drivers.pop(session.name, None)
        if event.change in ("opened", "demoted"):
            for row in rows.capability_rows(str(session.browser), session.build, event.capabilities):
                self._put_if_new(row)

    def _put_if_new(self, row: Row) -> None:
        values = row[1]
        key = (values["browser"], values["feature"])
        value = f"{values['browser_build']}|{values['value']}"
        if self._known.get(key) != value:
            self._known[key] = value
            self.recorder.put(row)

    def scaled(self, event: PoolScaled) -> None:
        """Put down that the pool grew or shrank by itself."""
        self.recorder.put(rows.scaling_row(event, self.worker))

    # --- now and then, in the recorder's thread

    def sample(self, status: PoolStatus | None) -> None:
        """Put down each session's health; nothing where there is no pool."""
        for row in rows.health_rows(status, self.worker) if status is not None else ():
            self.recorder.put(row)

    def list_models(self, browser: str, models: Callable[[], Any]) -> None:
        """Put down the models this worker could serve, where that is news."""
        for listing in models():
            if listing.where != "hub" and listing.family:
                self._put_if_new(rows.model_row(browser, listing.name, str(listing.family)))
