"""Compares a text model in every browser and backend with native onnxruntime."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.table import Table

from browser_runtime.contract.errors import BadInput, InferenceError
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import PAGE_BACKENDS, Backend, Browser, Family
from browser_runtime.models.store import ModelStore, StoredModel
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from webinfer.bench.samples import Summary, summarise

Tell = Callable[[str], None]

SHAPES = ((1, 16), (1, 128), (8, 128))
"""Texts in a batch, tokens in a text."""
MAX_RUNS, MIN_RUNS = 60, 3
# A software GPU may need seconds a run: a cell stops here, with what it has by then.
CELL_LIMIT_S = 12.0
# A larger shape than one that takes this long is left out: on a software GPU it takes minutes.
TOO_SLOW_MS = 600.0
# Before the first counted run of a shape, beyond the model's own warm-up: WASM tiers up shape by shape.
WARM_UP_LIMIT_S = 4.0


@dataclass(frozen=True, slots=True)
class Cell:
    """The result of one browser, backend and shape."""

    place: str
    backend: str
    adapter: str
    shape: tuple[int, int]
    run: Summary | None
    """In the page: compute and readback of the whole batch; None where it failed or was left out."""
    ratio: float | None
    """To native onnxruntime at the same shape."""
    cosine: float | None
    """The least over the batch, against native."""
    note: str = ""


@dataclass
class Native:
    """Native onnxruntime's times and embeddings, by shape."""

    threads: int
    runs: dict[tuple[int, int], Summary] = field(default_factory=dict)
    embeddings: dict[tuple[int, int], np.ndarray[Any, Any]] = field(default_factory=dict)


def make_texts(shape: tuple[int, int]) -> list[str]:
    """Texts of exactly `shape[1]` tokens, [CLS] and [SEP] included, each with another beginning."""
    words = ("time", "person", "year", "way", "day", "thing", "man", "world")
    return [" ".join(words[(row + n) % len(words)] for n in range(shape[1] - 2)) for row in range(shape[0])]


def measure_native(model: StoredModel, threads: int, tell: Tell) -> Native:
    """Native onnxruntime with `threads` threads, at every shape."""
    import onnxruntime as ort
    from tokenizers import Tokenizer

    tell(f"native onnxruntime, {threads} threads")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    path = str(model.folder / "onnx/model.onnx")
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(model.folder / "tokenizer.json"))
    tokenizer.no_padding()
    native = Native(threads)
    for shape in SHAPES:
        ids = np.array([encoding.ids for encoding in tokenizer.encode_batch(make_texts(shape))], np.int64)
        if ids.shape != shape:
            problem = f"{model.name!r}, whose tokenizer makes {ids.shape[-1]} tokens of {shape[1] - 2} words"
            raise BadInput("--model", problem, "one that makes a token of each, and one at either end")
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        feeds = {each.name: feeds[each.name] for each in session.get_inputs()}
        native.runs[shape] = summarise(_times(lambda feeds=feeds: session.run(None, feeds)))  # type: ignore[misc]
        pooled = session.run(None, feeds)[0].mean(axis=1)
        native.embeddings[shape] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    return native


def _times(work: Callable[[], Any]) -> list[float]:
    for _ in range(5):
        work()
    samples = []
    for _ in range(MAX_RUNS):
        start = time.perf_counter()
        work()
        samples.append((time.perf_counter() - start) * 1000)
    return samples


def measure_browsers(
    model_name: str, browsers: list[Browser], threads: int, tell: Tell
) -> tuple[Native, list[Cell]]:
    """Measure every browser alone, on every backend that works and every shape; native onnxruntime first."""
    settings = RuntimeSettings(simulation="never", wasm_threads=threads, shared_results_mb=0)
    model = ModelStore(settings.models_dir).ensure(model_name)
    model.require_family(Family.TEXT_EMBEDDING)
    native = measure_native(model, threads, tell)
    cells = []
    for browser in browsers:
        cells += asyncio.run(_measure_browser(settings, browser, model_name, native, tell))
    return native, cells


async def _measure_browser(
    settings: RuntimeSettings, browser: Browser, model_name: str, native: Native, tell: Tell
) -> list[Cell]:
    pool = Pool(settings, browser)
    await pool.open()
    try:
        can = pool.sessions[0].capabilities
        cells: list[Cell] = []
        for backend in filter(can.can, PAGE_BACKENDS):
            cells += await _measure_backend(pool, model_name, backend, native, tell)
        if can.can(Backend.WEBNN):
            cell = await _measure_cell(pool, model_name, Backend.WEBNN, SHAPES[0], native, tell, dynamic=True)
            cells.append(cell)
        return cells
    finally:
        await pool.close()


async def _measure_backend(
    pool: Pool, model_name: str, backend: Backend, native: Native, tell: Tell
) -> list[Cell]:
    """Measure shapes from small to large, until one is too slow to measure the next."""
    cells: list[Cell] = []
    for shape in SHAPES:
        cells.append(await _measure_cell(pool, model_name, backend, shape, native, tell))
        run = cells[-1].run
        if run is None or run.p50_ms > TOO_SLOW_MS:
            break
    return cells


async def _measure_cell(
    pool: Pool,
    model_name: str,
    backend: Backend,
    shape: tuple[int, int],
    native: Native,
    tell: Tell,
    *,
    dynamic: bool = False,
) -> Cell:
    build, adapter = pool.sessions[0].build, pool.sessions[0].capabilities.adapter(backend).name
    tell(f"{build}, {backend}, {list(shape)}")
    request = Request(
        Family.TEXT_EMBEDDING,
        model_name,
        {"texts": make_texts(shape)},
        backends=(backend,),
        single=False,
        options={"dynamic_shapes": True} if dynamic else {},
    )
    place = (build, f"{backend}, dynamic shapes" if dynamic else str(backend), adapter, shape)
    try:
        samples, output, placement = await _run_for(pool, request)
    except InferenceError as error:
        return Cell(*place, None, None, None, str(error))
    found = np.stack([np.asarray(item["embedding"]) for item in output])
    cosine = float((found * native.embeddings[shape]).sum(axis=1).min())
    run = summarise(samples)
    ratio = run.p50_ms / native.runs[shape].p50_ms
    return Cell(
        *place, run, ratio, cosine, "ran on " + ", ".join(f"{k}: {n} nodes" for k, n in placement.items())
    )


async def _run_for(pool: Pool, request: Request) -> tuple[list[float], list[Any], dict[str, int]]:
    """(milliseconds of each counted run, last output, placement of the nodes)."""
    warm_by = time.monotonic() + WARM_UP_LIMIT_S
    reply = await pool.run(request)
    while time.monotonic() < warm_by:
        reply = await pool.run(request)
    samples: list[float] = []
    end = time.monotonic() + CELL_LIMIT_S
    while len(samples) < MIN_RUNS or (len(samples) < MAX_RUNS and time.monotonic() < end):
        reply = await pool.run(request)
        samples.append(reply.inference_time_ms)
    return samples, reply.output, reply.details.get("placement") or {}


def tabulate(title: str, native: Native, cells: list[Cell]) -> Table:
    """A row for native onnxruntime at each shape, and one for each cell."""
    table = Table(
        "where", "backend", "adapter", "shape", "p50 ms", "to native", "cosine", "runs", title=title
    )
    for shape, run in native.runs.items():
        figures = (f"{run.p50_ms:.1f}", "1.0", "", str(run.n))
        table.add_row("native onnxruntime", "cpu", "CPU", str(list(shape)), *figures)
    for cell in cells:
        place = (cell.place, cell.backend, cell.adapter, str(list(cell.shape)))
        if cell.run is None:
            table.add_row(*place, "-", "-", "-", "-", cell.note)
            continue
        figures = (f"{cell.run.p50_ms:.1f}", f"{cell.ratio:.1f}", f"{cell.cosine:.6f}", str(cell.run.n))
        table.add_row(*place, *figures, cell.note)
    return table
