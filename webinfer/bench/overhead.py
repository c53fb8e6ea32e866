"""Measures the overhead of the way to a page and back, compared with Celery and a bare WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from browser_runtime.contract.vocabulary import Browser
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from tasks.app import app
from tasks.diagnostics import echo, noop
from tasks.infer import infer
from webinfer.bench.samples import Summary, alternate, repeat, summarise, time_ms
from webinfer.producing import ReplyDict

# The smallest built-in model on the backend that is everywhere: as little compute as a real model can have.
REQUEST = {
    "model_type": "text_embedding",
    "model_name": "sentences-bert",
    "inputs": "a short sentence",
    "priority_list": ["wasm"],
    "options": {"reuse_results": False},  # the same text is computed each time
}
TENSOR_BYTES = {"0.6 MB": 600_000, "10 MB": 10_000_000}
RESULT_TIMEOUT_S = 120
WARM_UP_ROUNDS = 20
N_TENSORS = 15


@dataclass(frozen=True, slots=True)
class Overhead:
    """Round trips through the queue, and webinfer's share of them."""

    noop: Summary
    infer: Summary
    compute: Summary
    """In the page: the model's own run and its readback."""
    ratio: float
    """(infer - compute) / noop, of the medians."""
    noop_per_s: float
    infer_per_s: float
    """One after another, without a pause."""
    throughput_ratio: float
    """Seconds an infer takes beyond its compute, over seconds a no-op takes, both from the throughputs."""


def measure_overhead(browser: Browser, n: int, tell: Callable[[str], None]) -> Overhead:
    """Round trips of a no-op and of a tiny model, in turn, through a running worker of `browser`."""

    def run_noop() -> Any:
        return noop.delay(browser=str(browser)).get(timeout=RESULT_TIMEOUT_S)

    def run_infer() -> ReplyDict:
        reply: ReplyDict = infer.delay(**REQUEST, browser=str(browser)).get(timeout=RESULT_TIMEOUT_S)
        return reply

    works: dict[str, Callable[[], Any]] = {"noop": run_noop, "infer": run_infer}
    tell("warming up")
    alternate(works, WARM_UP_ROUNDS)
    tell(f"{n} rounds of a no-op and an inference in turn")
    samples = alternate(works, n)
    compute = [reply["inference_time_ms"] for _, reply in samples["infer"]]
    summaries = {name: summarise([ms for ms, _ in rows]) for name, rows in samples.items()}
    tell("throughput, one after another")
    noop_ms, _ = time_ms(lambda: repeat(run_noop, n))
    infer_ms, replies = time_ms(lambda: repeat(run_infer, n))
    computed_ms = sum(reply["inference_time_ms"] for reply in replies)
    inferred, computed = summaries["infer"], summarise(compute)
    return Overhead(
        summaries["noop"],
        inferred,
        computed,
        (inferred.p50_ms - computed.p50_ms) / summaries["noop"].p50_ms,
        n / noop_ms * 1000,
        n / infer_ms * 1000,
        (infer_ms - computed_ms) / noop_ms,
    )


@dataclass(frozen=True, slots=True)
class TensorTrip:
    """The time of a tensor's way producer -> page -> producer, compared with the least possible."""

    size: str
    whole: Summary
    """`echo.delay(tensor).get()`."""
    claim_check: Summary
    """The same tensor into Redis and out, twice: once for the input, once for the result."""
    websocket: Summary
    """The same tensor to a page and back on a bare bridge."""
    ratio: float
    """whole / (claim_check + websocket), of the medians."""


def measure_tensors(browser: Browser, tell: Callable[[str], None]) -> list[TensorTrip]:
    """Each size through the queue, through Redis alone, and through a bridge alone."""
    return [
        _trip(size, np.zeros(n_bytes // 4, np.float32), browser, tell)
        for size, n_bytes in TENSOR_BYTES.items()
    ]


def _trip(
    size: str, tensor: np.ndarray[Any, Any], browser: Browser, tell: Callable[[str], None]
) -> TensorTrip:
    tell(f"{size} through the queue, through Redis, through a bridge")

    def through_queue() -> None:
        back = echo.delay(tensor, browser=str(browser)).get(timeout=RESULT_TIMEOUT_S)
        assert back.shape == tensor.shape

    works = {"whole": through_queue, "claims": lambda: _claim_twice(tensor)}
    alternate(works, 2)
    samples = alternate(works, N_TENSORS)
    websocket = asyncio.run(_bridge_echoes(browser, tensor))
    whole, claims = (summarise([ms for ms, _ in samples[name]]) for name in works)
    echoed = summarise(websocket)
    return TensorTrip(size, whole, claims, echoed, whole.p50_ms / (claims.p50_ms + echoed.p50_ms))


def _claim_twice(tensor: np.ndarray[Any, Any]) -> None:
    from tasks.payloads.codec import loads

    for _ in range(2):
        claims = loads(app.claims.dumps(tensor))
        app.claims.redeem(claims)
        app.claims.discard(claims)


async def _bridge_echoes(browser: Browser, tensor: np.ndarray[Any, Any]) -> list[float]:
    pool = Pool(RuntimeSettings(simulation="never", shared_results_mb=0), browser)
    await pool.open()
    try:
        lane = pool.sessions[0].lanes[0].connection
        loop = asyncio.get_running_loop()
        samples = []
        for _ in range(N_TENSORS + 2):
            start = loop.time()
            await lane.call("echo", RESULT_TIMEOUT_S, value=tensor)
            samples.append((loop.time() - start) * 1000)
        return samples[2:]
    finally:
        await pool.close()
