"""Prompts to text in NumPy: the packed files that a page loads, and the same sampling."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.families.text_generation import SEED_STEP, SEEDS, GenerationProcessor, Prompt
from browser_runtime.low_bits.arrays import FloatArray
from browser_runtime.low_bits.cache import CacheFormat, PackedCache
from browser_runtime.low_bits.forward import Decoder
from browser_runtime.low_bits.model_file import PackedModel
from browser_runtime.low_bits.packed_tensors import PackedTensors
from browser_runtime.models.manifest import StoredModel


class Generator:
    """A packed model with the processor of its prompts."""

    def __init__(self, model: StoredModel, processor: GenerationProcessor, precision: Precision) -> None:
        index = model.folder / model.graphs(precision)["low_bits"].path
        tensors = PackedTensors.open(PackedModel.open(index.parent))
        self._decoder, self._stop_tokens = Decoder(tensors), set(processor.stop_tokens)

    def prepare(self, item: Prompt, field: str, options: Mapping[str, Any]) -> Prompt:
        """The prompt itself. Raises BadInput for one that fills the model."""
        room = self._decoder.shape.max_positions
        if len(item) >= room:
            raise BadInput(field, f"{len(item)} tokens", f"at most {room - 1} tokens")
        return item

    def compute(self, prompt: Prompt, options: Mapping[str, Any]) -> dict[str, Any]:
        """The tokens behind the prompt, and how they ended."""
        shape = self._decoder.shape
        cache = PackedCache(shape, CacheFormat.parse(str(options.get("kv_cache", "16"))))
        sampler = Sampler(options["sampling"], prompt.ids)
        room = min(options["max_new_tokens"], shape.max_positions - len(prompt) + 1)
        tokens: list[int] = []
        fed = prompt.ids
        while len(tokens) < room:
            hidden = self._decoder.hidden(fed, cache)[-1:]
            token = sampler.sample(self._decoder.logits(hidden)[0])
            tokens.append(token)
            if token in self._stop_tokens:
                return {"tokens": tokens, "finish": "stop"}
            fed = np.asarray([token], np.int32)
        return {"tokens": tokens, "finish": "length"}

    def finish(
        self, prompt: Prompt, computed: Mapping[str, Any], options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The output as a page gives it."""
        return {**computed, "prompt_tokens": len(prompt), "reused_tokens": 0}


class Sampler:
    """The next token from its logits, as `page/engines/low_bits/sampler.js` chooses it."""

    def __init__(self, sampling: Mapping[str, Any], prompt: np.ndarray[Any, Any]) -> None:
        self._temperature, self._top_k = sampling["temperature"], sampling["top_k"]
        self._top_p, self._penalty = sampling["top_p"], sampling["repetition_penalty"]
        self._state = int(sampling["seed"])
        self._seen = set(prompt.tolist())

    def sample(self, logits: FloatArray) -> int:
        """The token of logits float32 [vocabulary]."""
        scores = logits.astype(np.float32)
        if self._penalty != 1:
            seen = np.fromiter(self._seen, np.int64)
            found = scores[seen].astype(np.float64)
            scores[seen] = np.where(found > 0, found / self._penalty, found * self._penalty)
        token = self._draw(scores) if self._temperature > 0 else int(np.argmax(scores))
        self._seen.add(token)
        return token

    def _draw(self, scores: FloatArray) -> int:
        tokens = np.arange(len(scores))
        if 0 < self._top_k < len(scores):
            tokens = tokens[scores >= np.sort(scores)[-self._top_k]]
        exact = scores.astype(np.float64)
        weights = np.exp((exact[tokens] - exact.max()) / self._temperature)
        if self._top_p < 1:
            order = np.argsort(-weights, kind="stable")
            tokens, sorted_weights = tokens[order], weights[order]
            end = int(np.searchsorted(np.cumsum(sorted_weights), self._top_p * weights.sum())) + 1
            tokens, weights = tokens[:end], sorted_weights[:end]
        rest = self._chance() * math.fsum(weights)
        place = int(np.searchsorted(np.cumsum(weights), rest, side="right"))
        return int(tokens[min(place, len(tokens) - 1)])

    def _chance(self) -> float:
        """A number in [0, 1): Mulberry32, as `page/kernels/random.js` has it."""
        state = self._state = (self._state + SEED_STEP) % SEEDS
        mixed = ((state ^ (state >> 15)) * (1 | state)) % SEEDS
        mixed = ((mixed + ((mixed ^ (mixed >> 7)) * (61 | mixed)) % SEEDS) % SEEDS) ^ mixed
        return (mixed ^ (mixed >> 14)) / SEEDS


RUNNER = Generator
