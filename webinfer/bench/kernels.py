"""Times every kernel of the low-bit engine in browsers, beside its twin, onnxruntime-web and a plain copy."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.vocabulary import Backend, Browser
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from webinfer.bench.product_graphs import GRAPH_BITS, make_product
from webinfer.bench.samples import Summary, summarise

Tell = Callable[[str], None]

CALL_LIMIT_S = 170.0
ONNXRUNTIME_SHAPES = ((4096, 2048, 1), (1024, 1024, 32), (1024, 1024, 1))
"""Rows, columns, tokens."""


@dataclass(frozen=True, slots=True)
class KernelRow:
    """A case, or a product by onnxruntime, on the kernels that computed it."""

    case: str
    kernels: str
    run: Summary | None
    """None where it failed."""
    gb_per_s: float = 0.0
    """Weights or inputs as they lie in memory, by the least time."""
    share_of_copy: float = 0.0
    error: float = 0.0
    """Ours: in units of what the case allows. onnxruntime: relative to the largest number of the product."""
    note: str = ""


@dataclass
class KernelPlace:
    """The results of one browser and backend."""

    browser: str
    build: str
    backend: str
    adapter: str
    copy_gb_per_s: float
    """Bytes read and written by a plain copy in this page."""
    readback: Summary | None = None
    """WebGPU: from submitting next to nothing to its numbers in the page."""
    tokens_per_readback: int = 1
    """The most that one reading back serves, where every prompt takes its likeliest token."""
    rows: list[KernelRow] = field(default_factory=list)

    @property
    def wrong(self) -> list[KernelRow]:
        """The rows of ours that are further from their twin than they may be, or failed."""
        return [row for row in self.rows if row.run is None or not row.error <= 1]


async def measure_kernels(
    browsers: list[Browser], backends: list[Backend], cases: str, tell: Tell
) -> AsyncIterator[KernelPlace]:
    """Each browser alone, each backend it has: the cases whose names the regular expression `cases` finds."""
    for browser in browsers:
        pool = Pool(RuntimeSettings(simulation="never", shared_results_mb=0), browser)
        await pool.open()
        try:
            can = pool.sessions[0].capabilities
            for backend in filter(can.can, backends):
                yield await _measure_place(pool, backend, re.compile(cases), tell)
        finally:
            await pool.close()


async def _measure_place(pool: Pool, backend: Backend, wanted: re.Pattern[str], tell: Tell) -> KernelPlace:
    session = pool.sessions[0]
    ask = _asker(pool, backend)
    listed = await ask("cases")
    copied = await ask("copy")
    place = KernelPlace(
        str(pool.browser), session.build, str(backend), listed["adapter"], copied["bytes_per_s"] / 1e9
    )
    if backend is Backend.WEBGPU:
        readback = await ask("readback", kernels=listed["kernels"][0])
        place.readback = summarise(readback["samples"])
        place.tokens_per_readback = readback["tokens"]
    cases = [case for case in listed["cases"] if wanted.search(case["name"])]
    for kernels in listed["kernels"]:
        # WebGPU's variants differ in their products alone.
        is_first = kernels == listed["kernels"][0]
        for case in cases:
            if is_first or case["kernel"] == "matmul":
                tell(f"{session.build}, {kernels}: {case['name']}")
                place.rows.append(await _time_case(ask, kernels, case["name"], place.copy_gb_per_s))
    for other in listed["others"]:
        if wanted.search(other["name"]):
            tell(f"{session.build}, {other['kernels']}: {other['name']}")
            row = await _time_case(ask, other["kernels"], other["name"], place.copy_gb_per_s)
            place.rows.append(row)
    for rows, columns, tokens in ONNXRUNTIME_SHAPES:
        for bits in GRAPH_BITS:
            name = f"matmul {bits} bits {rows}x{columns}, {tokens} token{'s' * (tokens > 1)}"
            if wanted.search(name):
                tell(f"{session.build}, onnxruntime-web: {name}")
                shape = (rows, columns, tokens)
                place.rows.append(await _time_graph(ask, name, bits, shape, place.copy_gb_per_s))
    return place


def _asker(pool: Pool, backend: Backend) -> Callable[..., Any]:
    """Calls the page's benchmark."""
    connection = pool.sessions[0].lanes[0].connection

    async def ask(what: str, **values: object) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = await connection.call(
            "kernels", CALL_LIMIT_S, bench=what, backend=str(backend), **values
        )
        return answer

    return ask


async def _time_case(ask: Callable[..., Any], kernels: str, name: str, copy_gb_per_s: float) -> KernelRow:
    try:
        found = await ask("case", kernels=kernels, name=name)
    except InferenceError as error:
        return KernelRow(name, kernels, None, note=str(error))
    return _row(name, kernels, found["samples"], found["bytes"], copy_gb_per_s, found["error"])


async def _time_graph(
    ask: Callable[..., Any], name: str, bits: int, shape: tuple[int, int, int], copy_gb_per_s: float
) -> KernelRow:
    kernels = "onnxruntime-web " + ("MatMul" if bits == 32 else "MatMulNBits")
    rows, columns, tokens = shape
    product = make_product(bits, rows, columns)
    x = np.random.default_rng(1).standard_normal((tokens, columns)).astype(np.float32)
    graph = np.frombuffer(product.content, np.uint8)
    try:
        found = await ask("graph", graph=graph, x=x, shape=[tokens, columns])
    except InferenceError as error:
        return KernelRow(name, kernels, None, note=str(error))
    wanted = x.astype(np.float64) @ product.weights.T
    off = float(np.abs(np.asarray(found["y"]).reshape(wanted.shape) - wanted).max() / np.abs(wanted).max())
    return _row(name, kernels, found["samples"], product.size_bytes, copy_gb_per_s, off)


def _row(
    name: str, kernels: str, samples: list[float], size_bytes: int, copy_gb_per_s: float, error: float
) -> KernelRow:
    run = summarise(samples)
    gb_per_s = size_bytes / max(run.min_ms, 1e-6) / 1e6
    return KernelRow(name, kernels, run, gb_per_s, gb_per_s / copy_gb_per_s, error)


def collect_kernels(
    browsers: list[Browser], backends: list[Backend], cases: str, tell: Tell
) -> list[KernelPlace]:
    """Every place's results."""

    async def collect() -> list[KernelPlace]:
        return [place async for place in measure_kernels(browsers, backends, cases, tell)]

    return asyncio.run(collect())
