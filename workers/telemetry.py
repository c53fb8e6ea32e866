"""What a pool and its runs come to, put down as rows. Nothing here waits, or touches Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.messages import Reply, Request
from tasks.infer import infer
from tasks.runner import Runner
from tasks.sending import waited_ms
from tasks.telemetry import Row
from workers import rows
from workers.recorder import Recorder
from workers.rows import RequestOrigin

if TYPE_CHECKING:
    from browser_runtime.contract.vocabulary import Backend
    from browser_runtime.session.lanes import LaneJob
    from browser_runtime.session.session import Session

# The pool's own checks of its sessions come as often.
HEALTH_INTERVAL_S = 15.0


@dataclass
class Telemetry:
    """A pool's observer, and the book of its runs."""

    recorder: Recorder
    worker: str

    def __post_init__(self) -> None:
        self._drivers: dict[str, str] = {}
        self._known: dict[tuple[str, str], str] = {}

    # --- runs

    def ran(self, request: Request, reply: Reply, asked: RequestOrigin) -> None:
        """A request was answered."""
        driver = self._drivers.get(reply.session, "")
        self.recorder.put(rows.run_row(request, reply, asked, self.worker, driver))

    def failed(
        self, request: Request, error: InferenceError, asked: RequestOrigin, browser: str, took_s: float
    ) -> None:
        """A request failed."""
        self.recorder.put(rows.failure_row(request, error, asked, self.worker, browser, took_s * 1000))

    # --- the pool's observer

    def loaded(
        self,
        session: Session,
        job: LaneJob,
        backend: Backend,
        answer: dict[str, Any] | None,
        error: InferenceError | None,
    ) -> None:
        """A model was opened or refused."""
        self.recorder.put(rows.load_row(session, job, backend, answer, error, self.worker))

    def connected(self, session: Session, event: str, reason: str = "") -> None:
        """What became of a session; with a new one also what it can do, where that is news."""
        self.recorder.put(rows.connection_row(session, event, reason, self.worker))
        if event == "opened":
            self._drivers[session.name] = session.driver_version
        elif event in ("closed", "died"):
            self._drivers.pop(session.name, None)
        browser = str(session.installation.browser)
        if event in ("opened", "demoted"):
            for row in rows.capability_rows(browser, session.build, session.capabilities):
                self._put_if_new(row)

    def _put_if_new(self, row: Row) -> None:
        values = row[1]
        key = (values["browser"], values["feature"])
        told = f"{values['browser_build']}|{values['value']}"
        if self._known.get(key) != told:
            self._known[key] = told
            self.recorder.put(row)

    def scaled(self, event: dict[str, Any]) -> None:
        """The pool grew or shrank by itself."""
        self.recorder.put(rows.scaling_row(event, self.worker))

    # --- now and then, in the recorder's thread

    def sample(self, status: dict[str, Any]) -> None:
        """Each session's health."""
        for row in rows.health_rows(status, self.worker):
            self.recorder.put(row)

    def list_models(self, browser: str, models: Callable[[], Any]) -> None:
        """The models this worker could serve, where that is news."""
        for listing in models():
            if listing.where != "hub" and listing.family:
                self._put_if_new(rows.model_row(browser, listing.name, str(listing.family)))


class RunObserver(Protocol):
    """Who is told of every run, on the pool's loop: it returns at once and never raises."""

    def ran(self, request: Request, reply: Reply, asked: RequestOrigin) -> None:
        """A request was answered."""

    def failed(
        self, request: Request, error: InferenceError, asked: RequestOrigin, browser: str, took_s: float
    ) -> None:
        """A request failed."""


class ObservedRunner:
    """A runner whose runs are told to watchers; the rest is the runner's own."""

    def __init__(self, runner: Runner, watchers: Sequence[RunObserver], browser: str) -> None:
        self._runner, self._watchers, self._browser = runner, watchers, browser

    def __repr__(self) -> str:
        return repr(self._runner)

    async def run(self, request: Request) -> Reply:
        """The reply. Raises InferenceError."""
        start, asked = time.monotonic(), _asked()
        try:
            reply = await self._runner.run(request)
        except InferenceError as error:
            took_s = time.monotonic() - start
            for watcher in self._watchers:
                watcher.failed(request, error, asked, self._browser, took_s)
            raise
        reply = reply.with_times(broker_ms=asked.broker_ms)
        for watcher in self._watchers:
            watcher.ran(request, reply, asked)
        return reply

    async def echo(self, value: Any) -> Any:
        """`value` after its way to a page and back."""
        return await self._runner.echo(value)

    async def resize(self, n_sessions: int) -> int:
        """Grow or shrink; the number reached."""
        return await self._runner.resize(n_sessions)

    def status(self) -> dict[str, Any]:
        """The live state."""
        return self._runner.status()


def _asked() -> RequestOrigin:
    """What Celery knows of the request that this coroutine serves."""
    context = infer.request
    route = (context.kwargs or {}).get("route") if isinstance(context.kwargs, dict) else None
    queue = (context.delivery_info or {}).get("routing_key") or ""
    reason = route.get("reason", "") if isinstance(route, dict) else ""
    broker_ms = waited_ms(vars(context), context.eta, time.time())
    return RequestOrigin(str(context.id or ""), str(queue), str(reason), broker_ms)
