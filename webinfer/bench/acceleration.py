"""What each row of the table of acceleration brings: the same requests with it on and off, in turn."""

from __future__ import annotations

import asyncio
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from browser_runtime.contract.acceleration import ACCELERATIONS, WEBNN, Acceleration
from browser_runtime.contract.errors import BadInput, InferenceError
from browser_runtime.contract.messages import LOAD_STEPS, Reply, Request
from browser_runtime.contract.vocabulary import Backend, Browser, Family
from browser_runtime.models.store import ModelStore
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from tasks.arguments import build_request
from tasks.settings import TaskSettings

Tell = Callable[[str], None]

# Off and on in an order that a drift of the machine favours neither by.
ORDER = (False, True, True, False)
SENTENCE = "the quick brown fox jumps over a lazy dog while nobody looks and rain falls on it all day"


@dataclass(frozen=True, slots=True)
class Workload:
    """A model, and the items of the requests that are sent to it, one after another."""

    family: Family
    model: str
    items: Sequence[Any]
    backend: Backend
    off_backend: Backend | None = None
    """Where a row is a backend itself: the one without it."""
    options: Mapping[str, object] = field(default_factory=dict)


SOUNDS = tuple({"audio": {"duration": seconds}} for seconds in (1.0, 9.0))
TEXTS = tuple(" ".join(SENTENCE.split()[:n]) for n in (3, 4, 6, 7, 9, 10, 13, 15, 18, 19))
PICTURE = ({"image": {"width": 224, "height": 224}},)
GPU, CPU = Backend.WEBGPU, Backend.WASM
WORKLOADS: Mapping[str, tuple[Workload, ...]] = {
    "compute_shaders": (
        # The front end is what differs: software adapters decode a token in seconds.
        Workload(Family.AUDIO, "tones-whisper", SOUNDS, GPU, options={"max_new_tokens": 1}),
        Workload(Family.AUDIO, "digits-clap", SOUNDS[:1], GPU),
    ),
    "precompile_shaders": (
        Workload(Family.VISION, "digits-vit", PICTURE, GPU),
        Workload(Family.TEXT_EMBEDDING, "sentences-bert", TEXTS[-1:], GPU),
    ),
    "parallel_loading": (
        Workload(Family.AUDIO, "tones-whisper", SOUNDS[:1], CPU),
        Workload(Family.VISION, "digits-clip", PICTURE, CPU),
        Workload(Family.VISION, "digits-clip", PICTURE, GPU),
    ),
    "buckets": (
        Workload(Family.TEXT_EMBEDDING, "sentences-bert", TEXTS, Backend.WEBNN),
        Workload(Family.TEXT_EMBEDDING, "sentences-bert", TEXTS, GPU),
    ),
    "layout": (
        Workload(Family.VISION, "digits-vit", PICTURE, GPU),
        Workload(Family.AUDIO, "tones-whisper", SOUNDS[:1], GPU),
    ),
    "threads": (
        Workload(Family.TEXT_EMBEDDING, "sentences-bert", TEXTS, CPU),
        Workload(Family.AUDIO, "tones-whisper", SOUNDS[:1], CPU),
    ),
    "webnn": (
        Workload(Family.TEXT_EMBEDDING, "sentences-bert", TEXTS, Backend.WEBNN, CPU),
        Workload(Family.VISION, "digits-vit", PICTURE, Backend.WEBNN, CPU),
    ),
}
"""What is measured of each row; one that is not here has a command of its own."""


@dataclass(slots=True)
class Arm:
    """Times with a row on or off, in milliseconds, a session each."""

    load_ms: list[float] = field(default_factory=list)
    first_ms: list[float] = field(default_factory=list)
    """In the page: the first request to the loaded model, the first of each item."""
    prepare_ms: list[float] = field(default_factory=list)
    """Of `run_ms`, preparing the input."""
    run_ms: list[float] = field(default_factory=list)
    """In the page, from preparing to finishing: a round over all items, the median of a session."""

    def medians(self) -> dict[str, float]:
        """The median of each."""
        return {name: statistics.median(values) for name, values in asdict(self).items() if values}


@dataclass(slots=True)
class Effect:
    """One row on one workload in one browser."""

    row: str
    model: str
    browser: str
    backend: str
    adapter: str = ""
    on: Arm = field(default_factory=Arm)
    off: Arm = field(default_factory=Arm)
    front_ends: list[dict[str, Any]] = field(default_factory=list)
    """Of a row that is one: what it and the other took alone, when the model was first opened."""
    problem: str = ""
    """Why nothing was measured."""

    def ratios(self) -> dict[str, float]:
        """Off to on, of the medians: above 1 where the row is quicker."""
        on, off = self.on.medians(), self.off.medians()
        return {name: off[name] / on[name] for name in on if name in off and on[name] > 0}

    def to_plain(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self) | {"off_to_on": self.ratios()}


def choose_rows(names: Sequence[str], model: str = "") -> list[Acceleration]:
    """The rows of those names, all that can be measured here without any.

    Raises BadInput for another, and for a model that none of them is measured on.
    """
    rows = [ACCELERATIONS[name] for name in names or WORKLOADS]
    for row in rows:
        if row.name not in WORKLOADS:
            other = row.measurement.command
            known = ", ".join(WORKLOADS)
            raise BadInput("--row", f"{row.name}: it is measured by `{other}`", f"one of {known}")
    measured = {workload.model: None for row in rows for workload in WORKLOADS[row.name]}
    if model and model not in measured:
        raise BadInput(
            "--model", f"{model!r}, on which no such row is measured", f"one of {', '.join(measured)}"
        )
    return rows


def measure_acceleration(
    rows: Sequence[Acceleration], browsers: Sequence[Browser], model: str, repeats: int, tell: Tell
) -> list[Effect]:
    """The effect of each row on each of its workloads, on those of `model` if given, in each browser."""
    found = []
    for row in rows:
        for workload in WORKLOADS[row.name]:
            if model in ("", workload.model):
                for browser in browsers:
                    tell(f"{row.name}: {workload.model} on {workload.backend} in {browser}")
                    found.append(asyncio.run(_compare(row, workload, browser, repeats)))
    return found


async def _compare(row: Acceleration, workload: Workload, browser: Browser, repeats: int) -> Effect:
    effect = Effect(row.name, workload.model, str(browser), str(workload.backend))
    try:
        for is_on in ORDER:
            await _run(row, workload, browser, repeats, effect, is_on)
    except InferenceError as error:
        effect.problem = str(error)
    return effect


def _settings_of(row: Acceleration, *, is_on: bool) -> RuntimeSettings:
    chosen: dict[str, Any] = {"simulation": "never"}
    if row.switch.is_setting:
        chosen["wasm_threads"] = 2 if is_on else row.switch.off
    return RuntimeSettings(**chosen)


def _options_of(row: Acceleration, *, is_on: bool) -> dict[str, object]:
    options: dict[str, object] = {"reuse_results": False}
    if row.switch.is_setting or row is WEBNN:
        return options
    on: dict[object, object] = {False: True, True: False, "NCHW": "NHWC"}
    return options | {row.option: on[row.switch.off] if is_on else row.switch.off}


async def _run(
    row: Acceleration, workload: Workload, browser: Browser, repeats: int, effect: Effect, is_on: bool
) -> None:
    """One fresh session: the model loaded by the first request, then every item again and again."""
    arm = effect.on if is_on else effect.off
    backend = workload.backend if is_on else workload.off_backend or workload.backend
    named = {
        "model_type": str(workload.family),
        "model_name": workload.model,
    }
    options = {**workload.options, **_options_of(row, is_on=is_on)}
    limits = TaskSettings().limits()
    wanted = {"priority_list": [str(backend)], "options": options}
    requests = [build_request({**named, **wanted, "inputs": item}, limits) for item in workload.items]
    pool = Pool(_settings_of(row, is_on=is_on), browser, store=ModelStore())
    await pool.open()
    try:
        first = [await _ask(pool, request) for request in requests]
        if is_on:
            effect.adapter = first[0].adapter.name
            effect.front_ends = list(first[0].details.get("front_ends", {}).get("measured", ()))
            _require(row, first[0])
        arm.load_ms.append(sum(getattr(first[0].timings, step) for step in LOAD_STEPS))
        arm.first_ms.append(sum(map(_page_ms, first)))
        rounds = [[await _ask(pool, request) for request in requests] for _ in range(repeats)]
        arm.run_ms.append(statistics.median(sum(map(_page_ms, replies)) for replies in rounds))
        prepared = [sum(reply.timings.preprocess_ms for reply in replies) for replies in rounds]
        arm.prepare_ms.append(statistics.median(prepared))
    finally:
        await pool.close()


async def _ask(pool: Pool, request: Request) -> Reply:
    return await pool.run(request)


def _page_ms(reply: Reply) -> float:
    times = reply.timings
    return math.fsum((times.preprocess_ms, times.compute_ms, times.readback_ms, times.postprocess_ms))


def _require(row: Acceleration, reply: Reply) -> None:
    """Raises BadInput where the row did not run: then nothing could be compared."""
    if row.name not in reply.details["acceleration"]:
        why = next((told for told in reply.warnings if told.startswith(row.option)), "it did not run")
        raise BadInput(row.name, why, f"run by {reply.model_name} on {reply.backend}")
