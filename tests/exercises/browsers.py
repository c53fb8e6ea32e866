"""The browser test: what each browser proves that it can do, and how fast each of its backends is."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.vocabulary import Browser, Family
from fixed_web_platform.resource_pool_bridge import PooledModel, ResourcePoolBridgeIntegration
from tests.exercises.questions import MODELS, Question, read_questions

BACKENDS = {"webgpu": "webgpu", "webnn": "webnn", "cpu": "wasm"}
N_RUNS = 5


@dataclass(frozen=True, slots=True)
class Speed:
    """One model on one backend of one browser."""

    model_name: str
    backend: str
    why_not: str = ""
    """Why it did not run; empty where it did."""
    load_ms: float = 0.0
    run_ms: float = 0.0
    """The median of N_RUNS runs after the first."""
    mismatch: str = ""


@dataclass(frozen=True, slots=True)
class Findings:
    """One browser."""

    browser: Browser
    build: str = ""
    problem: str = ""
    """Why it did not start; empty where it did."""
    capabilities: dict[str, Any] = field(default_factory=dict)
    speeds: list[Speed] = field(default_factory=list)


async def examine(browser: Browser, names: tuple[str, ...] = tuple(MODELS)) -> Findings:
    """What `browser` alone can do with the built-in models `names`."""
    integration = ResourcePoolBridgeIntegration(
        max_connections=1,
        adaptive_scaling=False,
        browser_preferences=dict.fromkeys(map(str, Family), str(browser)),
    )
    try:
        await integration.initialize()
        return await _measure(integration, browser, names)
    except InferenceError as error:
        return Findings(browser, problem=str(error))
    finally:
        await integration.close()


async def _measure(
    integration: ResourcePoolBridgeIntegration, browser: Browser, names: tuple[str, ...]
) -> Findings:
    (connection,) = integration.browser_connections.values()
    if connection["browser"] != browser:
        return Findings(
            browser, problem=f"it is not on this machine; {connection['browser']} came up instead"
        )
    speeds = [await _try(integration, name, word) for name in names for word in BACKENDS]
    return Findings(browser, connection["build"], "", connection["capabilities"], speeds)


async def _try(integration: ResourcePoolBridgeIntegration, name: str, word: str) -> Speed:
    try:
        model = await integration.get_model(MODELS[name], name, {"priority_list": [word]})
        return await _time(model, read_questions(name)[0], BACKENDS[word])
    except InferenceError as error:
        return Speed(name, BACKENDS[word], why_not=str(error))


async def _time(model: PooledModel, question: Question, backend: str) -> Speed:
    timings = model.loaded["timings"]
    load_ms = timings["load_ms"] + timings["compile_ms"] + timings["warmup_ms"]
    results = [await model.run(question.inputs) for _ in range(1 + N_RUNS)]
    run_ms = statistics.median(result["total_time_ms"] for result in results[1:])
    mismatch = next(filter(None, map(question.mismatch, results)), "")
    return Speed(model.model_name, backend, "", load_ms, run_ms, mismatch)


def print_findings(console: Console, found: list[Findings]) -> None:
    """What each browser can do, then how fast."""
    can = Table("browser", "WebGPU", "WebNN", "WebAssembly", title="What each browser can do")
    fast = Table("browser", "model", "backend", "load ms", "run ms", "answer", title="How fast")
    for browser in found:
        can.add_row(
            browser.build or str(browser.browser),
            *(browser.problem or _ability(browser.capabilities, backend) for backend in BACKENDS.values()),
        )
        fast.add_section()
        for speed in browser.speeds:
            if not speed.why_not:
                times = (f"{speed.load_ms:.0f}", f"{speed.run_ms:.1f}", speed.mismatch or "right")
                fast.add_row(str(browser.browser), speed.model_name, speed.backend, *times)
    console.print(can)
    console.print(fast)
    for browser in found:
        for speed in browser.speeds:
            if speed.why_not and browser.capabilities[f"{speed.backend}_supported"]:
                console.print(f"{browser.browser} {speed.model_name} {speed.backend}: {speed.why_not}")


def _ability(capabilities: dict[str, Any], backend: str) -> str:
    if not capabilities[f"{backend}_supported"]:
        return f"no: {capabilities[f'{backend}_reason']}"
    kind = {True: "software", False: "hardware", None: "unknown"}[capabilities[f"{backend}_is_software"]]
    return f"yes: {capabilities[f'{backend}_adapter'] or 'unnamed'} ({kind})"
