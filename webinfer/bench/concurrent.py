"""Compares the pool with one browser driven by hand, on requests to three models."""

from __future__ import annotations

import asyncio
import base64
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from browser_runtime.contract.messages import Reply, Request
from browser_runtime.contract.vocabulary import Backend, Browser, Family
from browser_runtime.launching.binaries import find_installation
from browser_runtime.launching.drivers import Launched
from browser_runtime.launching.guardian import Guardian
from browser_runtime.launching.hosting import BrowserHost
from browser_runtime.models.store import BUILTIN_FOLDER
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from webinfer.bench.baseline_server import baseline_server

Tell = Callable[[str], None]

SOUND = BUILTIN_FOLDER / "tones-whisper/examples/spoken-8.flac"
IMAGE = BUILTIN_FOLDER / "digits-vit/examples/4.png"
SCRIPT = """const [family, input, done] = arguments;
baseline(family, input).then((value) => done(value), (error) => done(String(error)));"""
PAGE_TIMEOUT_S = 120.0
# Of each model: Chromium compiles WebAssembly a second time, for speed, while it runs.
N_WARM = 30


@dataclass(frozen=True, slots=True)
class Workload:
    """One request, in both forms."""

    family: Family
    by_hand: Any
    """What execute_async_script can carry."""
    request: Request


@dataclass(frozen=True, slots=True)
class Way:
    """The result of one way of doing all jobs."""

    name: str
    n: int
    seconds: float
    per_s: float
    p50_ms: float
    p95_ms: float
    memory_mb: float | None
    """Proportional memory (PSS) of its browsers, at the end."""


def make_jobs(n: int) -> list[Workload]:
    """`n` requests, the three models in turn, each with another input."""
    import soundfile
    from PIL import Image

    samples = soundfile.read(SOUND, dtype="float32")[0]
    pixels = np.asarray(Image.open(IMAGE).convert("RGB"))
    data_url = "data:image/png;base64," + base64.b64encode(Path(IMAGE).read_bytes()).decode()
    jobs = []
    for number in range(n):
        text = f"this is sentence number {number}"
        jobs.append(
            (
                Workload(
                    Family.TEXT_EMBEDDING,
                    text,
                    _request(Family.TEXT_EMBEDDING, "sentences-bert", texts=[text]),
                ),
                Workload(Family.VISION, data_url, _request(Family.VISION, "digits-vit", images=[pixels])),
                Workload(
                    Family.AUDIO, samples.tolist(), _request(Family.AUDIO, "tones-whisper", sounds=[samples])
                ),
            )[number % 3]
        )
    return jobs


def _request(family: Family, model: str, **inputs: Any) -> Request:
    return Request(family, model, inputs, backends=(Backend.WASM,))


def check(job: Workload, output: Any) -> None:
    """Raise if an answer is wrong."""
    if job.family is Family.TEXT_EMBEDDING:
        assert len(output["embedding"] if isinstance(output, dict) else output) == 128, output
    elif job.family is Family.VISION:
        label = output["labels"][0]["label"] if isinstance(output, dict) else output[0]["label"]
        assert label == "4", output
    else:
        assert output["text"].strip() == "8", output


async def by_hand(jobs: list[Workload], browser: Browser, *, isolated: bool, tell: Tell) -> Way:
    """One browser, Selenium's execute_async_script, one request after another, transformers.js by default."""
    settings = RuntimeSettings(simulation="never")
    guardian = Guardian()
    host = BrowserHost("baseline", settings, guardian)
    name = "by hand, with threads" if isolated else "by hand"
    try:
        launched = await host.launch(find_installation(browser, settings))
        async with baseline_server(isolated=isolated) as address:
            await asyncio.to_thread(launched.open_page, address, PAGE_TIMEOUT_S)
            tell(f"{name}: warming up")
            await asyncio.to_thread(_run_by_hand, launched, make_jobs(3 * N_WARM))
            tell(f"{name}: {len(jobs)} requests")
            start = time.perf_counter()
            times = await asyncio.to_thread(_run_by_hand, launched, jobs)
            return _way(name, times, time.perf_counter() - start, await host.memory_bytes())
    finally:
        await host.end()
        guardian.close()


def _run_by_hand(launched: Launched, jobs: list[Workload]) -> list[float]:
    times = []
    for job in jobs:
        start = time.perf_counter()
        output = launched.call_script(SCRIPT, PAGE_TIMEOUT_S, str(job.family), job.by_hand)
        times.append((time.perf_counter() - start) * 1000)
        check(job, output)
    return times


@dataclass(frozen=True, slots=True)
class Replicas:
    """The sessions and lanes of a pool, and the number of concurrent requests."""

    name: str
    n_at_once: int
    n_sessions: int = 1
    n_lanes: int = 1


CREWS = (
    Replicas("pool, one at a time", 1),
    Replicas("pool, 1 session", 16),
    Replicas("pool, 2 sessions", 16, n_sessions=2),
    Replicas("pool, 1 session of 2 lanes", 16, n_lanes=2),
)


async def by_pool(jobs: list[Workload], browser: Browser, crew: Replicas, tell: Tell) -> Way:
    """The same jobs through the pool."""
    name, n_at_once, n_parallel = crew.name, crew.n_at_once, crew.n_sessions * crew.n_lanes
    settings = RuntimeSettings(simulation="never", shared_results_mb=0)
    pool = Pool(settings, browser, crew.n_sessions, crew.n_lanes)
    await pool.open()
    try:
        tell(f"{name}: warming up")
        await _run_by_pool(pool, make_jobs(3 * N_WARM * n_parallel), 4 * n_parallel)
        tell(f"{name}: {len(jobs)} requests, {n_at_once} at once")
        start = time.perf_counter()
        times = await _run_by_pool(pool, jobs, n_at_once)
        seconds = time.perf_counter() - start
        for session in pool.sessions:
            await session.sample_memory()
        return _way(name, times, seconds, sum(session.memory_bytes or 0 for session in pool.sessions))
    finally:
        await pool.close()


async def _run_by_pool(pool: Pool, jobs: list[Workload], n_at_once: int) -> list[float]:
    times: list[float] = []
    left = iter(jobs)

    async def client() -> None:
        for job in left:
            start = time.perf_counter()
            reply: Reply = await pool.run(job.request)
            times.append((time.perf_counter() - start) * 1000)
            check(job, reply.output)

    await asyncio.gather(*(client() for _ in range(n_at_once)))
    return times


def _way(name: str, times: list[float], seconds: float, memory_bytes: int | None) -> Way:
    cuts = statistics.quantiles(times, n=20, method="inclusive")
    memory_mb = None if memory_bytes is None else memory_bytes / 1e6
    return Way(name, len(times), seconds, len(times) / seconds, statistics.median(times), cuts[18], memory_mb)


def measure_concurrent(browser: Browser, n: int, tell: Tell) -> list[Way]:
    """All ways in one run; the baseline first and again at the end, which shows drift of the machine."""
    jobs = make_jobs(n)
    return [
        asyncio.run(by_hand(jobs, browser, isolated=False, tell=tell)),
        asyncio.run(by_hand(jobs, browser, isolated=True, tell=tell)),
        *(asyncio.run(by_pool(jobs, browser, crew, tell)) for crew in CREWS),
        asyncio.run(by_hand(jobs, browser, isolated=False, tell=tell)),
    ]
