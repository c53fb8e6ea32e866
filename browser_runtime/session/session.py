"""One browser, its page and lanes, and the models loaded in them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast
from urllib.parse import quote

import structlog

from browser_runtime.contract.answers import LoadAnswer, ProbeAnswer
from browser_runtime.contract.capabilities import Capabilities
from browser_runtime.contract.errors import (
    BridgeClosed,
    BrowserDied,
    FailedAt,
    InferenceError,
    PageCutOff,
    PageSilent,
    SessionLost,
)
from browser_runtime.contract.events import ModelLoaded, PoolObserver, SessionChanged, SessionInfo
from browser_runtime.contract.messages import Request
from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.status import SessionState
from browser_runtime.contract.vocabulary import Backend
from browser_runtime.launching.binaries import Installation
from browser_runtime.launching.drivers import Launched
from browser_runtime.launching.hosting import BrowserHost
from browser_runtime.link.loopback import Loopback
from browser_runtime.link.protocol import PAGE_LINE, PageEvent
from browser_runtime.once import Once
from browser_runtime.session.golden_check import GoldenCheck
from browser_runtime.session.kernel_choices import KernelChoices
from browser_runtime.session.lanes import LaneJob, SessionLane
from browser_runtime.session.liveness import Lines, Liveness
from browser_runtime.session.loading import ModelCache, items_of
from browser_runtime.session.model_loader import ModelLoader
from browser_runtime.session.model_runner import ModelRunner
from browser_runtime.session.observer import SessionObserver
from browser_runtime.session.plan import Plan, nothing_left, plan_backends
from browser_runtime.session.replies import RunLocation, RunResult
from browser_runtime.session.timed_calls import LaneActivity

log = structlog.get_logger(__name__)

PROBE_TIMEOUT_S = 60.0


class Session:
    """A running browser with its lanes."""

    def __init__(
        self,
        name: str,
        installation: Installation,
        loopback: Loopback,
        *,
        n_lanes: int = 1,
        events: SessionObserver[Session],
        distrusted: dict[ModelKey, InferenceError] | None = None,
    ) -> None:
        self.name = name
        self.installation = installation
        self.state = SessionState.STARTING
        self.capabilities = Capabilities({})
        self.memory_bytes: int | None = None
        self.started_ms = 0.0
        self.n_runs = 0
        self._distrusted = {} if distrusted is None else distrusted
        self.lanes = [self._expect_lane(loopback, number) for number in range(n_lanes)]
        self._loopback, self._settings = loopback, loopback.settings
        self.golden = GoldenCheck(name, self.build, loopback.settings)
        self._kernels = KernelChoices(loopback.settings.cache_dir, self.build, str(installation.browser))
        self._loader = ModelLoader(name, loopback.settings, self.golden, self._kernels, self._tell_load)
        self._runner = ModelRunner(name, loopback.settings, self.golden)
        self.host = BrowserHost(name, loopback.settings, loopback.guardian, loopback.network)
        self.observer = PoolObserver()
        self._events = events
        self._launched: Launched | None = None
        self._page = loopback.bridge.expect(name, PAGE_LINE, self._on_event, self._on_lane_lost)
        lines = Lines(self._page, tuple(lane.connection for lane in self.lanes))
        self._liveness = Liveness(name, lines, self.host, self._settings, self._lose, self._rejoined)
        self._ending = Once(self._end)

    def _expect_lane(self, loopback: Loopback, number: int) -> SessionLane:
        lane = loopback.bridge.expect(self.name, number, self._on_event, self._on_lane_lost)
        limits = loopback.settings
        models = ModelCache(limits.max_loaded_models, limits.max_loaded_mb * 1e6, distrusted=self._distrusted)
        return SessionLane(lane, models)

    def __repr__(self) -> str:
        lanes = ",".join("idle" if lane.is_idle else "busy" for lane in self.lanes)
        return (
            f"<{self.name} {self.state} lanes={lanes} models={sorted(self.model_names)} runs={self.n_runs}>"
        )

    @property
    def model_names(self) -> set[str]:
        """The models that any of its lanes holds."""
        return set[str]().union(*(lane.models.model_names for lane in self.lanes))

    @property
    def contents(self) -> set[str]:
        """Hashes of the graphs that any of its lanes holds."""
        return set[str]().union(*(lane.models.contents for lane in self.lanes))

    async def shed(self) -> int:
        """Have its free lanes drop the results that they keep for later; the bytes that these took."""
        free = [lane for lane in self.lanes if lane.is_idle and lane.sharing.results.n_results]
        return sum([await lane.shed(self._settings.run_timeout_s) for lane in free])

    @property
    def idle(self) -> bool:
        """True while none of its lanes computes."""
        return all(lane.is_idle for lane in self.lanes)

    @property
    def build(self) -> str:
        """Product, version, and what it stands in for."""
        return self.installation.build

    @property
    def info(self) -> SessionInfo:
        """Name, browser and versions, for observers."""
        driver = self._launched.driver_version if self._launched else ""
        return SessionInfo(self.name, self.installation.browser, self.build, driver)

    def changed(self, change: str, reason: str = "") -> SessionChanged:
        """The event of a change of this session."""
        return SessionChanged(self.info, change, self.capabilities, reason)

    async def open(self) -> None:
        """Start the browser, wait for every lane, prove its backends. Raises SessionLost."""
        start = time.monotonic()
        try:
            self._launched = await self.host.launch(self.installation)
            await self.host.open_page(self._page_address())
            await self._wait_for_lanes()
            await self.host.hold_driver()
            probe = cast(ProbeAnswer, await self.lanes[0].connection.call("probe", PROBE_TIMEOUT_S))
            can = Capabilities.from_probe(probe)
            self.capabilities = can.permit(gpu=self._settings.use_gpu, cpu=self._settings.use_cpu)
            self._kernels.capabilities = self.capabilities
        except BaseException:
            await self.close()
            raise
        self.started_ms = (time.monotonic() - start) * 1000
        self.state = SessionState.READY
        self._liveness.watch()
        log.info("session ready", session=self.name, build=self.build, started_ms=round(self.started_ms))

    def _page_address(self) -> str:
        parameters = {
            "socket": self._loopback.bridge.address,
            "session": self.name,
            "lanes": [
                {"lane": lane.connection.number, "token": lane.connection.token} for lane in self.lanes
            ],
            "page": {"lane": self._page.number, "token": self._page.token},
            "threads": self._settings.wasm_threads,
            "result_bytes": self._settings.result_bytes,
        }
        return f"{self._loopback.origin}/page/index.html#{quote(json.dumps(parameters))}"

    async def _wait_for_lanes(self) -> None:
        try:
            async with asyncio.timeout(self._settings.launch_timeout_s):
                await self._page.joined.wait()
                for lane in self.lanes:
                    await lane.connection.joined.wait()
                    lane.boot = lane.connection.boot
        except TimeoutError as error:
            status = await self.host.page_status()
            raise PageSilent(self.name, f"its lanes did not join in time; it says {status!r}") from error

    def plan(
        self,
        request: Request,
        barred: Mapping[Backend, str],
        measured_ms: Mapping[Backend, float] | None = None,
    ) -> Plan:
        """Return the backends that the request is tried on here."""
        browser = self.installation.browser
        asked, can = request.backends, self.capabilities
        return plan_backends(asked, browser, request.family, can, barred, measured_ms)

    async def run(self, lane: SessionLane, job: LaneJob) -> RunResult:
        """Run a job on `lane`, the model loaded first if it is new. Raises InferenceError."""
        start, lane.activity = time.monotonic(), LaneActivity()
        request = job.request
        backend = ""
        try:
            times_ms = await self._loader.time_kernels(lane, job)
            plan = self.plan(request, job.barred, times_ms)
            ready = await self._loader.get_ready(lane, job, plan.backends)
            if ready.loaded is None:
                raise nothing_left(request, self.capabilities, self.build, ready.failures)
            called, backend = time.monotonic(), str(ready.loaded.backend)
            job.on_ready()
            answer = await self._runner.run(lane, job, ready.loaded)
            self.n_runs += 1 if items_of(request) else 0
        except BridgeClosed as error:
            failure = await self._liveness.explain(error)
            failure.at = FailedAt(self.name, self.build, backend)
            raise failure from error
        except InferenceError as error:
            error.at = FailedAt(self.name, self.build, backend)
            if isinstance(error, PageCutOff):  # nothing that it does not hold yet will ever open here
                self._lose(error)
            raise
        done = time.monotonic()
        fallbacks = ({"backend": str(b), "reason": str(error)} for b, error in ready.failures)
        return RunResult(
            self.place,
            ready.loaded,
            ready.load_ms,
            answer,
            (*plan.passed_over, *fallbacks),
            plan.reason,
            (done - called) * 1000,
            (done - start) * 1000,
            ready.attempts,
            lane.activity.limit,
        )

    @property
    def place(self) -> RunLocation:
        """The place of a run here."""
        return RunLocation(
            self.name, self.installation.browser, self.build, self.capabilities, self.memory_bytes
        )

    def _tell_load(self, key: ModelKey, answer: LoadAnswer | None, error: InferenceError | None) -> None:
        self.observer.loaded(ModelLoaded(self.info, key, answer, error))

    async def echo(self, lane: SessionLane, value: Any) -> Any:
        """`value` after its way to the page and back."""
        answer = await lane.connection.call("echo", self._settings.run_timeout_s, value=value)
        return answer["value"]

    async def ping(self, lane: SessionLane) -> float:
        """Milliseconds of an empty echo on a lane that is idle. Raises PageSilent if none comes in time."""
        began = time.monotonic()
        await self._liveness.ask(lane.connection)
        return (time.monotonic() - began) * 1000

    def _on_event(self, event: PageEvent) -> None:
        log.warning("page event", session=self.name, event_name=event.name, text=event.text)
        self._events.reported(self, event)
        if event.name == "device-lost":
            for lane in self.lanes:
                lane.models.forget_backend(Backend(event.backend))

    @property
    def _is_up(self) -> bool:
        return self.state in (SessionState.READY, SessionState.DRAINING)

    def _on_lane_lost(self, error: SessionLost) -> None:
        if self._is_up:
            self._liveness.dropped(error)

    def _lose(self, error: SessionLost) -> None:
        if self._is_up:
            self._events.lost(self, error)

    def _rejoined(self, why: str) -> None:
        self._events.rejoined(self, why)

    def demote(self, backend: Backend, reason: str) -> None:
        """Count `backend` as unable here from now on."""
        known = self.capabilities.backends.get(backend)
        if known is not None:
            demoted = replace(known, proved=False, reason=reason)
            self.capabilities = replace(
                self.capabilities, backends={**self.capabilities.backends, backend: demoted}
            )

    async def sample_memory(self) -> None:
        """Update `memory_bytes` from the session's processes."""
        self.memory_bytes = await self.host.memory_bytes()

    async def close(self) -> None:
        """End the browser and everything it started; its lanes' waiting calls fail."""
        self.state = SessionState.CLOSED
        await self._ending.done()

    async def _end(self) -> None:
        self._loopback.bridge.forget(self.name)
        await self._liveness.close()
        await self.host.end()
        for line in (self._page, *(lane.connection for lane in self.lanes)):
            line.lose(BrowserDied(self.name, "the session was closed"))
