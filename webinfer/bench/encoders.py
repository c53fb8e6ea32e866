"""Times an encoder in 8 bits on the low-bit engine beside onnxruntime, in pages and natively."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.families import PACKED_ENCODER, VISION
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Backend, Browser, Precision
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.intake.quantising_encoders import quantise_encoder
from browser_runtime.models.store import ModelStore, StoredModel
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from webinfer.bench.encoder_samples import Images, Samples, Texts, Vectors, normalise
from webinfer.bench.samples import Summary, summarise

Tell = Callable[[str], None]
# Before the first counted run of a text: WASM tiers up.
WARM_UP_S = 2.0
CELL_S = 3.0
MIN_RUNS, MAX_RUNS = 3, 100


@dataclass(frozen=True, slots=True)
class EncoderCell:
    """One engine at one length."""

    place: str
    engine: str
    threads: int | None
    """None: the browser decides, on WebNN."""
    tokens: int
    """Of an image, its patches and the class token."""
    run: Summary
    """Computing alone, of one text or image."""
    ratio: float
    """To native onnxruntime in fp32."""
    cosine: float
    """The least to native onnxruntime in fp32, over all samples."""
    of: str = "text"
    """Or "image"."""


@dataclass(frozen=True, slots=True)
class Subject:
    """An engine's model: where it is stored, in which precision, and where a page computes it."""

    engine: str
    model: StoredModel
    precision: Precision
    backend: Backend = Backend.WASM

    def threads(self, allowed: int) -> int | None:
        """On how many it computes, of those that onnxruntime may use; None where the browser decides."""
        if self.backend is Backend.WEBNN:
            return None
        return 1 if self.precision is Precision.BITS_8 else allowed


def measure_encoders(
    folder: Path, browsers: list[Browser], tell: Tell, warn: Tell, threads: int = 1
) -> list[EncoderCell]:
    """Each engine at each length: native first, then the pages; `warn` hears which cannot run there.

    Raises BadInput for what is no encoder in safetensors.
    """
    with tempfile.TemporaryDirectory() as home:
        settings = RuntimeSettings(
            simulation="never", wasm_threads=threads, shared_results_mb=0, models_dir=Path(home) / "store"
        )
        tell("packing the model")
        subjects = make_subjects(folder, Path(home), ModelStore(settings.models_dir))
        samples = open_samples(subjects[0].model)
        cells, exact = measure_native(subjects, samples, tell, threads)
        for browser in browsers:
            cells += asyncio.run(
                _measure_browser(settings, browser, subjects, samples, cells, exact, tell, warn)
            )
        return cells


def make_subjects(folder: Path, home: Path, store: ModelStore) -> list[Subject]:
    """The model in 8bit and fp32, in fp16, and what onnxruntime's own dynamic quantisation makes of it."""
    import onnx
    from onnxruntime.quantization import quantize_dynamic
    from onnxruntime.transformers.float16 import convert_float_to_float16

    packed = quantise_encoder(folder, "packed", store).model
    copy = home / "int8"
    shutil.copytree(packed.folder, copy, ignore=shutil.ignore_patterns("8bit", "webinfer.json"))
    quantize_dynamic(copy / "onnx/model.onnx", copy / "onnx/model_quantized.onnx")
    halves = convert_float_to_float16(onnx.load(copy / "onnx/model.onnx"), keep_io_types=True)
    onnx.save(halves, copy / "onnx/model_fp16.onnx")
    others = import_model(copy, "others", packed.family, store)
    return [
        Subject("webinfer 8bit", packed, Precision.BITS_8),
        Subject("onnxruntime fp32", packed, Precision.FP32),
        Subject("onnxruntime int8", others, Precision.INT8),
        Subject("onnxruntime fp32, WebNN", packed, Precision.FP32, Backend.WEBNN),
        Subject("onnxruntime fp16, WebNN", others, Precision.FP16, Backend.WEBNN),
        Subject("onnxruntime int8, WebNN", others, Precision.INT8, Backend.WEBNN),
    ]


def open_samples(packed: StoredModel) -> Samples:
    """What an encoder is asked, by its family."""
    if packed.family is not VISION:
        return Texts(packed)
    return Images(packed, (packed.folder / packed.graphs(Precision.BITS_8)[PACKED_ENCODER.stem].path).parent)


def measure_native(
    subjects: list[Subject], samples: Samples, tell: Tell, threads: int = 1
) -> tuple[list[EncoderCell], Vectors]:
    """onnxruntime in Python, and its embeddings or logits in fp32."""
    import onnxruntime as ort

    cells: list[EncoderCell] = []
    exact: Vectors | None = None
    for subject in subjects:
        if subject.backend is not Backend.WASM or subject.precision is Precision.BITS_8:
            continue
        tell(f"native {subject.engine}")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        path = subject.model.folder / subject.model.graphs(subject.precision)["model"].path
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

        def prepare(item: Any, session: Any = session) -> Callable[[], Vectors]:
            feeds = samples.feed(item)
            return lambda: session.run(None, feeds)[0]

        found = np.stack([samples.read(prepare(item)()) for item in samples.all])
        exact = found if exact is None else exact
        cosine = float((found * exact).sum(1).min())
        for n_tokens, item in samples.timed.items():
            times = summarise(_time(prepare(item)))
            ratio = times.p50_ms / _base_ms(cells, n_tokens, times.p50_ms)
            of = samples.family.inputs.item
            cells.append(EncoderCell("native", subject.engine, threads, n_tokens, times, ratio, cosine, of))
    assert exact is not None
    return cells, exact


def _base_ms(cells: list[EncoderCell], n_tokens: int, otherwise: float = 1.0) -> float:
    """Native fp32's time at that length, which is measured first."""
    found = (cell.run.p50_ms for cell in cells if cell.tokens == n_tokens)
    return next(found, otherwise)


def _time(work: Callable[[], Any]) -> list[float]:
    end = time.monotonic() + CELL_S
    samples: list[float] = []
    for _ in range(5):
        work()
    while len(samples) < MIN_RUNS or (len(samples) < MAX_RUNS and time.monotonic() < end):
        start = time.perf_counter()
        work()
        samples.append((time.perf_counter() - start) * 1000)
    return samples


async def _measure_browser(
    settings: RuntimeSettings,
    browser: Browser,
    subjects: list[Subject],
    samples: Samples,
    native: list[EncoderCell],
    exact: Vectors,
    tell: Tell,
    warn: Tell,
) -> list[EncoderCell]:
    pool = Pool(settings, browser)
    await pool.open()
    try:
        cells = []
        build = pool.sessions[0].build
        for subject in subjects:
            tell(f"{build}, {subject.engine}")
            try:
                answered = await pool.run(_ask(subject, samples.all))
            except InferenceError as error:
                warn(f"{build}: no {subject.engine}: {error}")
                continue
            numbers = samples.family.answer.numbers
            found = np.stack([normalise(output[numbers]) for output in answered.output])
            cosine = float((found * exact).sum(1).min())
            for n_tokens, item in samples.timed.items():
                run = await _time_item(pool, subject, item)
                ratio = run.p50_ms / _base_ms(native, n_tokens)
                threads = subject.threads(settings.wasm_threads)
                of = samples.family.inputs.item
                cells.append(EncoderCell(build, subject.engine, threads, n_tokens, run, ratio, cosine, of))
        return cells
    finally:
        await pool.close()


def _ask(subject: Subject, items: list[Any]) -> Request:
    family = subject.model.family
    inputs = {family.inputs.batch: items}
    name, precision = subject.model.name, subject.precision
    return Request(family.model_types[0], name, inputs, (subject.backend,), precision, single=False)


async def _time_item(pool: Pool, subject: Subject, item: Any) -> Summary:
    request = _ask(subject, [item])
    warm_by = time.monotonic() + WARM_UP_S
    while time.monotonic() < warm_by:
        await pool.run(request)
    samples: list[float] = []
    end = time.monotonic() + CELL_S
    while len(samples) < MIN_RUNS or (len(samples) < MAX_RUNS and time.monotonic() < end):
        samples.append((await pool.run(request)).inference_time_ms)
    return summarise(samples)


def tabulate_encoders(cells: list[EncoderCell]) -> Table:
    """A row for each engine at each length."""
    columns = (
        "where",
        "engine",
        "threads",
        "tokens",
        "p50 ms",
        "least ms",
        "to native fp32",
        "least cosine",
        "runs",
    )
    table = Table(*columns, title=f"one {cells[0].of if cells else 'text'}")
    for cell in cells:
        figures = (f"{cell.run.p50_ms:.1f}", f"{cell.run.min_ms:.1f}", f"{cell.ratio:.2f}")
        row = (
            cell.place,
            cell.engine,
            str(cell.threads or "-"),
            str(cell.tokens),
            *figures,
            f"{cell.cosine:.5f}",
            str(cell.run.n),
        )
        table.add_row(*row)
    return table
