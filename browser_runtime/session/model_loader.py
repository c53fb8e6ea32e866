"""Loads a model on a lane, on the first backend of the plan that takes it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import structlog

from browser_runtime.contract.acceleration import COMPUTE_SHADERS
from browser_runtime.contract.answers import LoadAnswer
from browser_runtime.contract.errors import (
    BackendFault,
    BadOutput,
    FailedAttempt,
    InferenceError,
    ModelFault,
    OutOfMemory,
    PageSilent,
    Unsupported,
)
from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.vocabulary import Backend
from browser_runtime.families.processor import PROCESSORS
from browser_runtime.policies.recovery import RecoveryStep
from browser_runtime.session.golden import read_golden
from browser_runtime.session.golden_check import GoldenCheck
from browser_runtime.session.kernel_choices import KernelChoices
from browser_runtime.session.lanes import LaneJob, SessionLane
from browser_runtime.session.loading import LoadedModel, key_of, load_values, needed_contents
from browser_runtime.session.timed_calls import Operation
from browser_runtime.settings import RuntimeSettings

log = structlog.get_logger(__name__)

# Errors that another backend may avoid.
FALLS_BACK = (Unsupported, BackendFault, ModelFault, OutOfMemory, BadOutput)

Failure = tuple[Backend, InferenceError]
LoadListener = Callable[[ModelKey, LoadAnswer | None, InferenceError | None], None]


@dataclass(frozen=True, slots=True)
class ReadyModel:
    """The outcome of trying the backends of a plan."""

    loaded: LoadedModel | None
    """None: no backend took the model."""
    load_ms: float
    """Duration of loading it for this run; 0 where it was loaded already."""
    failures: tuple[Failure, ...]
    """The backends before it in the plan that could not, now or earlier."""
    attempts: tuple[FailedAttempt, ...] = ()
    """Those of them that were tried now."""


class ModelLoader:
    """The loads of one session."""

    def __init__(
        self,
        session: str,
        settings: RuntimeSettings,
        golden: GoldenCheck,
        choices: KernelChoices,
        on_load: LoadListener,
    ) -> None:
        self._session, self._settings, self._golden = session, settings, golden
        self._choices, self._on_load = choices, on_load

    async def time_kernels(self, lane: SessionLane, job: LaneJob) -> dict[Backend, float]:
        """What kernels of our own take on each backend that the model may run on; none for other engines.

        Measured now where the choice is open and nothing was kept. What fails is left to the load.
        """
        if job.request.backends or "low_bits" not in job.model.graphs(job.request.precision):
            return {}
        for backend in await asyncio.to_thread(self._choices.unmeasured):
            call = lane.connection.call(
                "kernels", self._settings.load_timeout_s, backend=str(backend), choose=True
            )
            try:
                await asyncio.to_thread(self._choices.keep_choice, backend, await call)
            except FALLS_BACK as error:
                log.warning(
                    "kernels not measured", session=self._session, backend=str(backend), error=str(error)
                )
        return await asyncio.to_thread(self._choices.times_ms)

    async def get_ready(self, lane: SessionLane, job: LaneJob, backends: tuple[Backend, ...]) -> ReadyModel:
        """The model on the first of `backends` that takes it. Raises what no other backend mends."""
        lane.check_boot()
        failures: list[Failure] = []
        attempts: list[FailedAttempt] = []
        for backend in backends:
            key = key_of(job.model, job.request, backend)
            found = lane.models.take(key)
            if found is not None:
                return ReadyModel(found, 0.0, tuple(failures), tuple(attempts))
            known = lane.models.refusal(key)
            if known is not None:
                failures.append((backend, known))
                continue
            started = time.monotonic()
            try:
                loaded = await self._load(lane, key, job, backend)
                load_ms = (time.monotonic() - started) * 1000
                return ReadyModel(loaded, load_ms, tuple(failures), tuple(attempts))
            except FALLS_BACK as error:
                failures.append((backend, error))
                attempts.append(self._describe(job, backend, error))
                await self._fall_back(lane, key, job, backend, error)
        return ReadyModel(None, 0.0, tuple(failures))

    def _describe(self, job: LaneJob, backend: Backend, error: InferenceError) -> FailedAttempt:
        words = (error.code(), str(error), str(RecoveryStep.OTHER_BACKEND), "the next may take the model")
        return FailedAttempt(job.model.name, self._session, str(backend), *words)

    async def _fall_back(
        self, lane: SessionLane, key: ModelKey, job: LaneJob, backend: Backend, error: InferenceError
    ) -> None:
        """Remember what the backend cannot, tell it, and wait for a lane whose engine crashed."""
        log.warning(
            "falling back",
            session=self._session,
            model=job.model.name,
            backend=str(backend),
            error=error.code(),
            reason=str(error),
        )
        if not may_work_later(backend, error):
            lane.models.refuse(key, error)
        self._on_load(key, None, error)
        await self.await_restart(lane)

    async def await_restart(self, lane: SessionLane) -> None:
        """Return once a lane whose engine crashed is back, its models forgotten. Raises PageSilent."""
        if lane.connection.is_restarting:
            try:
                async with asyncio.timeout(self._settings.launch_timeout_s):
                    await lane.connection.joined.wait()
            except TimeoutError as error:
                raise PageSilent(self._session, "its lane did not start anew after a crash") from error
        lane.check_boot()

    async def _load(self, lane: SessionLane, key: ModelKey, job: LaneJob, backend: Backend) -> LoadedModel:
        processor = await asyncio.to_thread(PROCESSORS.take, job.model)
        needed = needed_contents(job.model, job.request)
        while (overdue := lane.models.overdue(needed, lane.busy_models, backend)) is not None:
            await lane.unload(overdue, self._settings.run_timeout_s)
        cache_bytes = self._settings.kv_cache_mb * 1_000_000
        model = (job.model, processor, job.request, cache_bytes, self._settings.tensor_sharing)
        is_software = self._choices.capabilities.adapter(backend).software
        values = await asyncio.to_thread(load_values, *model, is_software)
        values["kept"] = await asyncio.to_thread(self._choices.find, backend)
        if job.model.family.name in COMPUTE_SHADERS.rows:
            values["front_ends"] = await asyncio.to_thread(self._choices.find_front_ends)
        limit = job.limit(Operation.LOAD, key, self._settings.load_timeout_s)
        place = f"on {backend} in {self._session}"

        async def load(limit_s: float) -> LoadAnswer:
            call = lane.connection.call("load", limit_s, key=str(key), backend=str(backend), **values)
            return cast(LoadAnswer, await call)

        answer = await lane.activity.timed(Operation.LOAD, place, limit, job.deadline, load)
        lane.note(answer)
        await asyncio.to_thread(self._choices.keep, backend, answer)
        golden = await asyncio.to_thread(read_golden, job.model, processor)
        is_sharing = self._settings.tensor_sharing
        contents = frozenset(each.hash for each in needed if is_sharing)
        loaded = LoadedModel(key, answer, processor, golden, contents=contents)
        lane.models.put(loaded)
        try:
            await self._golden.check(lane, loaded)
        except BaseException:
            lane.models.drop(key)  # what did not pass must not run
            raise
        self._on_load(key, answer, None)
        return loaded


def may_work_later(backend: Backend, error: InferenceError) -> bool:
    """Return whether the same load may go well another time; else it is not tried again.

    Memory may be free then. What WebAssembly cannot run no backend can, so there the model's breaker says
    when it is tried again, instead of never.
    """
    is_models = isinstance(error, ModelFault) or (isinstance(error, BackendFault) and backend is Backend.WASM)
    return is_models or isinstance(error, OutOfMemory)
