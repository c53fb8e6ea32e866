"""Runs a model in every way that this machine has, a few times each, as evidence for a recommendation."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from browser_runtime.contract.acceleration import (
    ACCELERATIONS,
    BUCKETS,
    COMPUTE_SHADERS,
    LAYOUT,
)
from browser_runtime.contract.capabilities import Capabilities
from browser_runtime.contract.errors import InferenceError, UnknownModel
from browser_runtime.contract.messages import LOAD_STEPS, Reply
from browser_runtime.contract.options import COMMON_OPTIONS
from browser_runtime.contract.vocabulary import Backend, Browser, Precision
from browser_runtime.models.store import ModelStore, StoredModel
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from scheduler.routing.evidence import Evidence, Sums
from tasks.arguments import build_request
from tasks.settings import TaskSettings

Tell = Callable[[str], None]

# Of one way, behind its first request, which loads the model.
WAY_S = 5.0
# The rows that change how long a loaded model takes, with the values of their options: off, on.
ARMS: dict[str, tuple[object, object]] = {
    COMPUTE_SHADERS.option: (False, True),
    BUCKETS.option: (True, False),
    LAYOUT.option: ("NCHW", "NHWC"),
}


@dataclass(frozen=True, slots=True)
class Way:
    """What a trial asks for."""

    backend: Backend
    precision: Precision
    options: tuple[tuple[str, object], ...] = ()

    def __str__(self) -> str:
        flags = "".join(f" {name}={value}" for name, value in self.options)
        return f"{self.backend} {self.precision}{flags}"


@dataclass(slots=True)
class Trials:
    """What was found."""

    evidence: list[Evidence] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    """Why a way could not be tried, by its name."""


def run_trials(
    name: str, browsers: Sequence[Browser], precisions: Sequence[Precision], n: int, tell: Tell
) -> Trials:
    """`n` runs of each way, or as many as take five seconds, of a usual item. Raises UnknownModel."""
    model = ModelStore().find(name)
    if model is None:
        raise UnknownModel(repr(name), "a trial needs it on this machine; pull or import it first")
    trials = Trials()
    for browser in browsers:
        asyncio.run(_try_browser(model, browser, precisions or model.precisions, n, trials, tell))
    return trials


async def _try_browser(
    model: StoredModel, browser: Browser, precisions: Sequence[Precision], n: int, trials: Trials, tell: Tell
) -> None:
    pool = Pool(RuntimeSettings(simulation="never"), browser, store=ModelStore())
    try:
        await pool.open()
    except InferenceError as error:
        trials.failures[str(browser)] = str(error)
        return
    try:
        for way in _list_ways(model, pool.sessions[0].capabilities, precisions):
            tell(f"{browser}: {way}")
            try:
                trials.evidence.append(await _try_way(pool, model, way, n))
            except InferenceError as error:
                trials.failures[f"{browser} {way}"] = str(error)
    finally:
        await pool.close()


def _list_ways(
    model: StoredModel, capabilities: Capabilities, precisions: Sequence[Precision]
) -> Iterator[Way]:
    """Yields every backend in every precision, alone and with each row on and off that it can have.

    On a software GPU, where opening a model anew takes long, only with those that open nothing.
    """
    for backend in filter(capabilities.can, model.family.backends):
        is_slow = backend is Backend.WEBGPU and capabilities.adapter(backend).software is not False
        for precision in precisions:
            rows = [
                row
                for row in ACCELERATIONS.values()
                if row.option in ARMS
                and not row.lack([model.family.name], backend)
                and not (is_slow and COMMON_OPTIONS[row.option].opens)
            ]
            for row in rows:
                for value in ARMS[row.option]:
                    yield Way(backend, precision, ((row.option, value),))
            if not rows:
                yield Way(backend, precision)


async def _try_way(pool: Pool, model: StoredModel, way: Way, n: int) -> Evidence:
    named: dict[str, Any] = {
        "model_type": str(model.family.model_types[0]),
        "model_name": model.name,
        "inputs": model.family.sample,
        "priority_list": [str(way.backend)],
        "precision": str(way.precision),
        "options": {"reuse_results": False, **dict(way.options)},
    }
    request = build_request(named, TaskSettings().limits())
    replies = [await pool.run(request)]
    end = time.monotonic() + WAY_S
    while len(replies) <= n and (len(replies) < 2 or time.monotonic() < end):
        replies.append(await pool.run(request))
    logs = [math.log(max(_run_ms(reply), 0.01)) for reply in replies[1:]]
    weight = float(len(logs))
    sums = Sums(w=weight, y=sum(logs), yy=sum(each * each for each in logs))
    return Evidence(
        request.family,
        model.name,
        str(way.precision),
        pool.browser,
        str(way.backend),
        sums,
        len(logs),
        weight,
        flags=json.dumps(dict.fromkeys(replies[-1].details["acceleration"], True)),
    )


def _run_ms(reply: Reply) -> float:
    """A run's own time, as routing counts it."""
    times = reply.timings
    return times.total_ms - times.queue_ms - math.fsum(getattr(times, step) for step in LOAD_STEPS)
