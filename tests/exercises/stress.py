"""The stress test: a load that rises and falls, and a pool that follows it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from browser_runtime.contract.errors import InferenceError
from fixed_web_platform.resource_pool_bridge import PooledModel, ResourcePoolBridgeIntegration
from tests.exercises.questions import MODELS, Question, read_questions

# Callers that ask one question after another, and for how long. The last lasts until the pool is small again.
RAMP = ((1, 15.0), (4, 30.0), (16, 60.0), (2, 20.0), (0, 400.0))
MODELS_ASKED = ("sentences-bert", "digits-vit")
LOOK_EVERY_S = 0.5
# What the latencies of a look are taken from.
RECENT_S = 3.0


@dataclass(frozen=True, slots=True)
class Look:
    """The pool at a moment."""

    at_s: float
    n_callers: int
    n_sessions: int
    n_starting: int
    n_active: int
    n_waiting: int
    n_answered: int
    per_s: float
    p50_ms: float | None
    p95_ms: float | None
    browsers: dict[str, int]


@dataclass
class Stress:
    """What the stress test came to."""

    looks: list[Look] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    """What adaptive scaling did, with `at` in seconds since the start."""
    wrong: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    replies: list[tuple[float, float]] = field(default_factory=list)
    """(seconds since the start, milliseconds that the caller waited)."""

    @property
    def n_sessions(self) -> list[int]:
        """Sessions over time."""
        return [look.n_sessions for look in self.looks]


class Exercise:
    """One stress test: callers, and a look at the pool every so often."""

    def __init__(self, integration: ResourcePoolBridgeIntegration, speed: float) -> None:
        self._integration, self._speed = integration, speed
        self._start, self._n_callers = time.monotonic(), 0
        self.stress = Stress()
        self._questions: list[tuple[PooledModel, Question]] = []

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    async def run(self, ramp: tuple[tuple[int, float], ...], show: Callable[[Stress], None]) -> Stress:
        """Follow the ramp, `speed` times as fast, then wait for the pool to get small again."""
        for name in MODELS_ASKED:
            model = await self._integration.get_model(MODELS[name], name, {"priority_list": ["cpu"]})
            self._questions += [(model, question) for question in read_questions(name)]
        watching = asyncio.create_task(self._watch(show))
        try:
            for n_callers, last_s in ramp:
                await self._load(n_callers, last_s / self._speed)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        await self._look()
        return self.stress

    async def _load(self, n_callers: int, last_s: float) -> None:
        self._n_callers = n_callers
        callers = [asyncio.create_task(self._call(n)) for n in range(n_callers)]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(last_s):
                await (asyncio.Event().wait() if callers else self._get_small())
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)

    async def _get_small(self) -> None:
        """Return when only one session is left."""
        engine = self._integration._up()
        change, fleet = engine.pool.notifier, engine.pool.fleet
        small = change.until(lambda: len(fleet.sessions) == 1 and not fleet.n_starting.total())
        await asyncio.wrap_future(engine.submit(lambda: small))

    async def _call(self, n: int) -> None:
        for model, question in itertools.islice(itertools.cycle(self._questions), n, None):
            await self._ask(model, question)

    async def _ask(self, model: PooledModel, question: Question) -> None:
        start = time.monotonic()
        try:
            mismatch = question.mismatch(await model.run(question.inputs))
        except InferenceError as error:
            self.stress.failed.append(str(error))
            return
        self.stress.replies.append((self.now_s, (time.monotonic() - start) * 1000))
        if mismatch:
            self.stress.wrong.append(mismatch)

    async def _watch(self, show: Callable[[Stress], None]) -> None:
        while True:
            await self._look()
            show(self.stress)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self) -> None:
        metrics = await asyncio.to_thread(self._integration.get_metrics)
        now_s, connections = self.now_s, metrics["connections"]
        recent = [ms for at_s, ms in self.stress.replies if now_s - at_s <= RECENT_S]
        p50, p95 = (float(ms) for ms in np.percentile(recent, [50, 95])) if recent else (None, None)
        look = Look(
            now_s,
            self._n_callers,
            connections["current"],
            connections["starting"],
            connections["active"],
            metrics["queue"]["waiting"],
            len(self.stress.replies),
            len(recent) / min(RECENT_S, max(now_s, 0.1)),
            p50,
            p95,
            connections["browser_distribution"],
        )
        self.stress.looks.append(look)
        began = time.time() - now_s
        self.stress.events = [
            event | {"at": event["at"] - began} for event in metrics["adaptive_scaling"]["scaling_events"]
        ]


@asynccontextmanager
async def _pool(speed: float, **options: Any) -> AsyncIterator[ResourcePoolBridgeIntegration]:
    """An adaptive pool whose times are the guide's, divided by `speed`."""
    async with ResourcePoolBridgeIntegration(**options) as integration:
        growth = integration._up().pool.autoscaler
        policy = growth.policy
        growth.policy = replace(
            policy,
            cool_down_s=policy.cool_down_s / speed,
            down_window_s=policy.down_window_s / speed,
        )
        yield integration


async def run_stress(
    show: Callable[[Stress], None],
    speed: float = 1.0,
    ramp: tuple[tuple[int, float], ...] = RAMP,
    **options: Any,
) -> Stress:
    """Ask right answers of a growing and shrinking pool; `show` hears every look."""
    async with _pool(speed, **options) as integration:
        return await Exercise(integration, speed).run(ramp, show)
