"""One start of an arm: a fresh browser session, its model loaded, its runs timed step by step."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.messages import LOAD_STEPS, RUN_STEPS, Reply, Request, Timings
from browser_runtime.models.store import ModelStore, StoredModel
from browser_runtime.pool import Pool
from tasks.telemetry.rows import adapter_name
from webinfer.bench.laboratory.answers import Answer, make_request, read_answer
from webinfer.bench.laboratory.arms import Arm

STEPS = (*RUN_STEPS, "bridge_ms")
"""Of a run: what the page does, and the way there and back."""
ONCE = ("start_ms", *LOAD_STEPS, "first_ms")
"""Of a start, each measured once: the browser until its page is ready, the model, its first answer."""
# Beyond the model's own warm-up: Chromium compiles WebAssembly a second time while it runs.
WARM_UP_S = 1.0
BURST_S = 0.15
MOST_BURST = 200


def steady_ms(timings: Timings) -> float:
    """A run's time without waiting for a lane: in the page, and the way there and back."""
    return float(sum(getattr(timings, step) for step in STEPS))


@dataclass(slots=True)
class Start:
    """The measurements of one session."""

    once_ms: dict[str, float] = field(default_factory=dict)
    runs: list[dict[str, float]] = field(default_factory=list)
    """Milliseconds by step, a row a run."""
    memory_mb: float | None = None
    answer: Answer = field(default_factory=Answer)
    facts: dict[str, Any] = field(default_factory=dict)
    """What ran: build, adapter, backend, precision, kernel, revision."""

    def median_ms(self, step: str | None = None) -> float:
        """The median of a step, or of whole runs."""
        if step is not None:
            return float(np.median([run[step] for run in self.runs]))
        return float(np.median([sum(run.values()) for run in self.runs]))

    def to_plain(self) -> dict[str, Any]:
        """Medians and counts as plain values."""
        return {
            "once_ms": self.once_ms,
            "steady_ms": self.median_ms(),
            "steps_ms": {step: self.median_ms(step) for step in STEPS},
            "n_runs": len(self.runs),
            "memory_mb": self.memory_mb,
            "answer": self.answer.to_plain(),
            **self.facts,
        }


class ArmFailed(InferenceError):
    """{0} did not run: {1}"""


class OpenArm:
    """A pool of one session with the arm's model; `start` has what was measured so far."""

    def __init__(self, name: str, arm: Arm) -> None:
        self.name, self.arm = name, arm
        settings = arm.runtime_settings()
        self._store = ModelStore(settings.models_dir)
        self._pool = Pool(settings, arm.browser, store=self._store)
        self.start = Start()
        self._model: StoredModel | None = None
        self._request: Request | None = None
        self._last_ms = 1.0

    async def open(self) -> None:
        """The browser up, the model loaded and warm, the first answer noted. Raises ArmFailed."""
        try:
            self._model = await self._store.provide(self.arm.model, *self._precisions())
            self._request = make_request(self._model, self.arm)
            await self._pool.open()
            reply = await self._pool.run(self._request)
        except InferenceError as error:
            await self.close()
            raise ArmFailed(self.name, str(error)) from error
        except BaseException:
            await self.close()
            raise
        self._note_first(reply)
        end = time.monotonic() + WARM_UP_S
        while time.monotonic() < end:
            await self._run()

    def _precisions(self) -> tuple[Any, ...]:
        model = self._store.find(self.arm.model)
        family = model.family.model_types[0] if model else None
        if self.arm.precision is not None:
            return (self.arm.precision,)
        return () if family is None else (self.arm.precision_for(family),)

    def _note_first(self, reply: Reply) -> None:
        assert self._model is not None
        start, times = self.start, reply.timings
        start.once_ms = {"start_ms": self._pool.sessions[0].started_ms}
        start.once_ms |= {step: getattr(times, step) for step in LOAD_STEPS}
        start.once_ms["first_ms"] = steady_ms(times)
        start.answer = read_answer(reply.output, self._model.family.answer)
        start.facts = {
            "browser": reply.browser,
            "browser_build": reply.browser_build,
            "driver": self._pool.sessions[0].info.driver,
            "adapter": adapter_name(reply.adapter),
            "is_software": reply.adapter.software,
            "backend": reply.backend,
            "precision": reply.precision,
            "kernel": reply.kernel,
            "model": reply.model_name,
            "revision": reply.model_revision,
            "threads": self.arm.runtime_settings().wasm_threads,
        }

    async def _run(self) -> Reply:
        assert self._request is not None
        try:
            reply = await self._pool.run(self._request)
        except InferenceError as error:
            raise ArmFailed(self.name, str(error)) from error
        self._last_ms = max(steady_ms(reply.timings), 0.01)
        return reply

    async def burst(self) -> None:
        """A few counted runs, for about a seventh of a second; one at least."""
        for _ in range(min(max(int(BURST_S * 1000 / self._last_ms), 1), MOST_BURST)):
            self.start.runs.append(await self.run())

    async def run(self) -> dict[str, float]:
        """One run's milliseconds by step."""
        reply = await self._run()
        return {step: getattr(reply.timings, step) for step in STEPS}

    async def sample_memory(self) -> None:
        """Notes the session's memory, with its part of pages that it shares with other browsers now."""
        session = self._pool.sessions[0]
        await session.sample_memory()
        self.start.memory_mb = None if session.memory_bytes is None else session.memory_bytes / 1e6

    async def finish(self) -> Start:
        """The measurements; the browser is ended."""
        await self.close()
        return self.start

    async def close(self) -> None:
        """Ends the browser."""
        await self._pool.close()
