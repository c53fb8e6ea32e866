"""One browser, its page and lanes, and the models loaded in them: a request in, a reply out."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import structlog

from browser_runtime.contract.capabilities import Capabilities
from browser_runtime.contract.errors import (
    BadOutput,
    BrowserDied,
    FailedAt,
    InferenceError,
    OutOfMemory,
    PageSilent,
    SessionLost,
    Unsupported,
)
from browser_runtime.contract.events import ModelLoaded, PoolObserver, SessionChanged, SessionInfo
from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.status import SessionState
from browser_runtime.contract.vocabulary import Backend
from browser_runtime.launching.binaries import Installation
from browser_runtime.launching.drivers import Launched
from browser_runtime.launching.hosting import BrowserHost
from browser_runtime.link.loopback import Loopback
from browser_runtime.link.protocol import PageEvent
from browser_runtime.models.configuration import read_plan
from browser_runtime.once import Once
from browser_runtime.session.golden import read_golden
from browser_runtime.session.golden_check import GoldenCheck
from browser_runtime.session.lanes import LaneJob, SessionLane
from browser_runtime.session.loading import LoadedModel, ModelCache, items_of, key_of, load_values
from browser_runtime.session.plan import nothing_left, plan_backends
from browser_runtime.session.replies import RunLocation, RunResult

log = structlog.get_logger(__name__)

PROBE_TIMEOUT_S = 60.0
# A page whose socket alone dropped is back within its first backoff; a dead browser never is.
REJOIN_TIMEOUT_S = 1.0


class Session:
    """A running browser with its lanes."""

    def __init__(
        self,
        name: str,
        installation: Installation,
        loopback: Loopback,
        *,
        n_lanes: int = 1,
        on_lost: Callable[[Session, SessionLost], None],
    ) -> None:
        self.name = name
        self.installation = installation
        self.state = SessionState.STARTING
        self.capabilities = Capabilities({})
        self.memory_bytes: int | None = None
        self.started_ms = 0.0
        self.n_runs = 0
        self.lanes = [self._expect_lane(loopback, number) for number in range(n_lanes)]
        self._loopback, self._settings = loopback, loopback.settings
        self.golden = GoldenCheck(name, self.build, loopback.settings)
        self._host = BrowserHost(name, loopback.settings, loopback.guardian)
        self.on_event: Callable[[Session, PageEvent], None] | None = None
        """Told what the page tells unasked."""
        self.observer = PoolObserver()
        self._on_lost = on_lost
        self._launched: Launched | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = Once(self._end)

    def _expect_lane(self, loopback: Loopback, number: int) -> SessionLane:
        lane = loopback.bridge.expect(self.name, number, self._on_event, self._on_lane_lost)
        settings = loopback.settings
        return SessionLane(lane, ModelCache(settings.max_loaded_models, settings.max_loaded_mb * 1e6))

    def __repr__(self) -> str:
        lanes = ",".join("busy" if lane.busy else "idle" for lane in self.lanes)
        return (
            f"<{self.name} {self.state} lanes={lanes} models={sorted(self.model_names)} runs={self.n_runs}>"
        )

    @property
    def model_names(self) -> set[str]:
        """The models that any of its lanes holds."""
        return set[str]().union(*(lane.models.model_names for lane in self.lanes))

    @property
    def idle(self) -> bool:
        """Whether none of its lanes computes."""
        return not any(lane.busy for lane in self.lanes)

    @property
    def build(self) -> str:
        """Product, version, and what it stands in for."""
        return self.installation.build

    @property
    def driver_version(self) -> str:
        """The WebDriver's version; empty before the start."""
        return self._launched.driver_version if self._launched else ""

    @property
    def info(self) -> SessionInfo:
        """Which session, for observers."""
        return SessionInfo(self.name, self.installation.browser, self.build, self.driver_version)

    async def open(self) -> None:
        """Start the browser, wait for every lane, prove its backends. Raises SessionLost."""
        start = time.monotonic()
        try:
            self._launched = await self._host.launch(self.installation)
            await self._host.open_page(self._page_address())
            await self._wait_for_lanes()
            probe = await self.lanes[0].connection.call("probe", PROBE_TIMEOUT_S)
            can = Capabilities.from_probe(probe)
            self.capabilities = can.permit(gpu=self._settings.use_gpu, cpu=self._settings.use_cpu)
        except BaseException:
            await self.close()
            raise
        self.started_ms = (time.monotonic() - start) * 1000
        self.state = SessionState.READY
        log.info("session is ready", session=self.name, build=self.build, started_ms=round(self.started_ms))

    def _page_address(self) -> str:
        told = {
            "socket": self._loopback.bridge.address,
            "session": self.name,
            "lanes": [
                {"lane": lane.connection.number, "token": lane.connection.token} for lane in self.lanes
            ],
            "threads": self._settings.wasm_threads,
        }
        return f"{self._loopback.origin}/page/index.html#{quote(json.dumps(told))}"

    async def _wait_for_lanes(self) -> None:
        try:
            async with asyncio.timeout(self._settings.launch_timeout_s):
                for lane in self.lanes:
                    await lane.connection.joined.wait()
                    lane.boot = lane.connection.boot
        except TimeoutError as error:
            told = await self._host.page_status()
            raise PageSilent(self.name, f"its lanes did not join in time; it says {told!r}") from error

    async def run(self, lane: SessionLane, job: LaneJob) -> RunResult:
        """What one run on `lane` came to, the model loaded first if it is new. Raises InferenceError."""
        start = time.monotonic()
        request = job.request
        plan = plan_backends(request.backends, self.installation.browser, request.family, self.capabilities)
        backend = ""
        try:
            loaded, fallbacks, loaded_now = await self._load_first(lane, job, plan.backends)
            called, backend = time.monotonic(), str(loaded.backend)
            answer = await self._compute(lane, job, loaded)
        except InferenceError as error:
            error.at = FailedAt(self.name, self.build, backend)
            raise
        done = time.monotonic()
        return RunResult(
            self.place,
            loaded,
            loaded_now,
            answer,
            (*plan.passed_over, *fallbacks),
            plan.reason,
            (done - called) * 1000,
            (done - start) * 1000,
        )

    async def _compute(self, lane: SessionLane, job: LaneJob, loaded: LoadedModel) -> dict[str, Any]:
        """The page's answer to `run`; a request without items only wanted its model loaded."""
        items, limit_s = items_of(job.request), job.remaining_s(self._settings.run_timeout_s)
        if not items:
            return {"results": []}
        options = loaded.plan.choose(job.request.options)
        answer = await lane.run(loaded.key, items, options, limit_s)
        self.n_runs += 1
        loaded.n_runs += 1
        return answer

    @property
    def place(self) -> RunLocation:
        """Where a run here takes place."""
        return RunLocation(
            self.name, self.installation.browser, self.build, self.capabilities, self.memory_bytes
        )

    async def _load_first(
        self, lane: SessionLane, job: LaneJob, backends: tuple[Backend, ...]
    ) -> tuple[LoadedModel, list[dict[str, str]], bool]:
        """The model on the first backend that takes it, what was tried before, and whether it is new."""
        self._check_boot(lane)
        fallbacks: list[dict[str, str]] = []
        for backend in backends:
            key = key_of(job.model, job.request, backend)
            found = lane.models.take(key)
            if found is not None:
                return found, fallbacks, False
            try:
                return await self._load(lane, key, job, backend), fallbacks, True
            except (Unsupported, OutOfMemory, BadOutput) as error:
                # Memory may be free another time; abilities do not change.
                if not isinstance(error, OutOfMemory):
                    lane.models.refused[key] = str(error.args[-1])
                self.observer.loaded(ModelLoaded(self.info, key, None, error))
                fallbacks.append({"backend": str(backend), "reason": str(error)})
                log.warning("falling back", session=self.name, model=job.model.name, **fallbacks[-1])
        raise nothing_left(job.request, self.capabilities, self.build, fallbacks)

    async def _load(self, lane: SessionLane, key: ModelKey, job: LaneJob, backend: Backend) -> LoadedModel:
        if key in lane.models.refused:
            raise Unsupported(f"{job.model.name} on {backend}", lane.models.refused[key])
        plan = await asyncio.to_thread(read_plan, job.model.folder, job.model.family)
        needed_bytes = job.model.loaded_bytes(job.request.precision)
        while (overdue := lane.models.overdue(needed_bytes)) is not None:
            await lane.connection.call("unload", self._settings.run_timeout_s, key=str(overdue))
            lane.models.drop(overdue)
        values = await asyncio.to_thread(load_values, job.model, plan, job.request)
        limit_s = job.remaining_s(self._settings.load_timeout_s)
        answer = await lane.connection.call("load", limit_s, key=str(key), backend=str(backend), **values)
        golden = await asyncio.to_thread(read_golden, job.model)
        loaded = LoadedModel(key, answer, plan, golden)
        lane.models.put(loaded)
        await self.golden.check(lane, loaded)
        self.observer.loaded(ModelLoaded(self.info, key, answer))
        return loaded

    async def echo(self, lane: SessionLane, value: Any) -> Any:
        """`value` after its way to the page and back."""
        answer = await lane.connection.call("echo", self._settings.run_timeout_s, value=value)
        return answer["value"]

    def _check_boot(self, lane: SessionLane) -> None:
        """A page loaded anew has forgotten its models."""
        if lane.connection.boot != lane.boot:
            lane.boot = lane.connection.boot
            lane.models.clear()

    def _on_event(self, event: PageEvent) -> None:
        log.warning("the page tells", session=self.name, event_name=event.name, text=event.text)
        if self.on_event is not None:
            self.on_event(self, event)
        if event.name == "device-lost":
            for lane in self.lanes:
                lane.models.forget_backend(Backend(event.backend))

    def _on_lane_lost(self, error: SessionLost) -> None:
        if self.state in (SessionState.READY, SessionState.DRAINING):
            task = asyncio.get_running_loop().create_task(self._await_rejoin(error))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _await_rejoin(self, error: SessionLost) -> None:
        """A line that drops alone is taken up again; otherwise the session is lost."""
        alive = await self._host.browser_alive()
        try:
            async with asyncio.timeout(REJOIN_TIMEOUT_S if alive else 0):
                for lane in self.lanes:
                    await lane.connection.joined.wait()
            self.observer.connected(SessionChanged(self.info, "reconnected", self.capabilities, str(error)))
        except TimeoutError:
            if self.state in (SessionState.READY, SessionState.DRAINING):
                lost = error if alive else BrowserDied(self.name, "its process is gone")
                log.warning("session lost", session=self.name, why=str(lost))
                self._on_lost(self, lost)

    def demote(self, backend: Backend, reason: str) -> None:
        """From now on `backend` counts as unable here."""
        known = self.capabilities.backends.get(backend)
        if known is not None:
            demoted = replace(known, proved=False, reason=reason)
            self.capabilities = replace(
                self.capabilities, backends={**self.capabilities.backends, backend: demoted}
            )

    async def sample_memory(self) -> None:
        """Update `memory_bytes` from the session's processes."""
        self.memory_bytes = await self._host.memory_bytes()

    async def close(self) -> None:
        """End the browser and everything it started; its lanes' waiting calls fail."""
        self.state = SessionState.CLOSED
        await self._ending.done()

    async def _end(self) -> None:
        self._loopback.bridge.forget(self.name)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._host.end()
        for lane in self.lanes:
            lane.connection.lose(BrowserDied(self.name, "the session was closed"))
