"""The guide's class: a pool of real browsers in this process, for asynchronous and synchronous callers."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import anyio

from browser_runtime.contract.errors import BadInput, BadRequest
from tasks.arguments import build_load
from tasks.settings import TaskSettings
from webinfer.integration.engine import Engine
from webinfer.integration.metrics import Metrics, connections_of, metrics_of
from webinfer.integration.models import PooledModel
from webinfer.integration.options import Options, refuse_unknown
from webinfer.integration.results import Result

Work = Sequence[tuple[PooledModel, Any]]
"""Pairs of a model and its inputs."""


class ResourcePoolBridgeIntegration:
    """A pool of models in real browsers, without a queue. See docs/integration.md."""

    def __init__(  # noqa: PLR0913, PLR0917 - the guide's own arguments
        self,
        max_connections: int = 4,
        min_connections: int = 1,
        enable_gpu: bool = True,
        enable_cpu: bool = True,
        headless: bool = True,
        adaptive_scaling: bool = True,
        browser_preferences: Mapping[str, str] | None = None,
        db_path: Any = None,
        tensor_sharing: bool = True,
        **unknown: object,
    ) -> None:
        """Check the options; nothing is started yet. Raises BadInput naming the wrong option."""
        refuse_unknown(unknown)
        self.options = Options(
            max_connections,
            min_connections,
            enable_gpu,
            enable_cpu,
            headless,
            adaptive_scaling,
            browser_preferences,
            db_path,
            tensor_sharing,
        )
        self._engine: Engine | None = None
        self._end: weakref.finalize[Any, Any] | None = None
        self._limits = TaskSettings().limits()

    def __repr__(self) -> str:
        return f"<ResourcePoolBridgeIntegration {self._engine.pool if self._engine else 'not up'}>"

    # --- life

    async def initialize(self) -> bool:
        """Start the pool; False if the simulation replaces real browsers (WEBINFER_SIMULATION), else True.

        Raises SetupError, naming the remedy, or SessionLost if neither is possible; nothing is left running
        then.
        """
        engine = self._engine
        if engine is not None:  # it runs, or another caller is starting it
            return await engine.opened()
        engine = self._engine = Engine(self.options)
        # If nobody closes it: at the interpreter's end, or when it is garbage collected.
        self._end = weakref.finalize(self, engine.abandon)
        try:
            engine.start()
            return await engine.opened()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End every browser, server and thread; pending requests fail. Calling it again does nothing."""
        engine, self._engine = self._engine, None
        if engine is None:
            return
        end, self._end = self._end, None
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(engine.close)
        if end is not None:
            end.detach()

    async def __aenter__(self) -> Self:
        await self.initialize()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _up(self) -> Engine:
        if self._engine is None or not self._engine.is_up:
            raise BadRequest("the integration is not up; await initialize() first, and not after close()")
        return self._engine

    # --- models

    async def get_model(
        self, model_type: str, model_name: str, hardware_preferences: Mapping[str, Any] | None = None
    ) -> PooledModel:
        """Load a model in a browser and warm it up. Raises InferenceError.

        hardware_preferences: priority_list (of webgpu, webnn, cpu), precompile_shaders, compute_shaders,
        parallel_loading, precision, mixed_precision, tensor_sharing.
        """
        engine = self._up()
        named = {
            "model_type": model_type,
            "model_name": model_name,
            "hardware_preferences": hardware_preferences,
        }
        request = build_load(named)
        preferred = self.options.browser_for(request.family)
        loaded = await asyncio.wrap_future(engine.load(request, preferred))
        return PooledModel(self, engine, named, self._limits, loaded)

    def execute_concurrent_sync(self, work: Work) -> list[Result]:
        """The results of all pairs, run concurrently, in their order. Blocks.

        A failure is a result with `success` False and `error`; the others are not affected.
        """
        answers = [model.ask(inputs) for model, inputs in _checked(work)]
        try:
            settled = [answer.exception() or answer.result() for answer in answers]
        except BaseException:
            for answer in answers:
                answer.cancel()
            raise
        return [model.settle(answer) for (model, _), answer in zip(work, settled, strict=True)]

    async def execute_concurrent(self, work: Work) -> list[Result]:
        """`execute_concurrent_sync` without blocking the caller's loop; cancelling it cancels the runs."""
        pairs = _checked(work)
        answers = await asyncio.to_thread(lambda: [model.ask(inputs) for model, inputs in pairs])
        settled = await asyncio.gather(*map(asyncio.wrap_future, answers), return_exceptions=True)
        return [model.settle(answer) for (model, _), answer in zip(pairs, settled, strict=True)]

    # --- watch

    def get_metrics(self) -> Metrics:
        """The live state and measurements, under the guide's keys. Raises BadRequest if it is not started."""
        return self._up().read(metrics_of)

    @property
    def browser_connections(self) -> dict[str, Metrics]:
        """Every running session by its id: browser, platform, is_simulation, capabilities, and more."""
        is_up = self._engine is not None and self._engine.is_up
        return self._up().read(connections_of) if is_up else {}


def _checked(work: Work) -> Work:
    """`work` as it is. Raises BadInput for anything but pairs of a model and its inputs."""
    for index, pair in enumerate(work):
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], PooledModel)):
            allowed = "a pair (model, inputs) with a model of get_model"
            raise BadInput(f"requests[{index}]", repr(pair)[:100], allowed)
    return work
