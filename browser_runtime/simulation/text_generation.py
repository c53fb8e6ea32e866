"""Prompts to text: packed files in NumPy, graphs in Python's onnxruntime, and the sampling of pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from browser_runtime.contract.errors import BadInput, ModelFault
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.families.text_generation import SEED_STEP, SEEDS, GenerationProcessor, Prompt
from browser_runtime.low_bits.arrays import FloatArray, IntArray
from browser_runtime.low_bits.cache import CacheFormat, PackedCache
from browser_runtime.low_bits.forward import Decoder
from browser_runtime.low_bits.model_file import PackedModel
from browser_runtime.low_bits.packed_tensors import PackedTensors
from browser_runtime.models.manifest import StoredModel
from browser_runtime.simulation.decoding import empty_shape
from browser_runtime.simulation.graphs import Graph, require_choice

Rows = Mapping[int, FloatArray]


class Text(Protocol):
    """One text, token by token."""

    def feed(self, tokens: IntArray, given: Rows | None = None) -> FloatArray:
        """The logits [vocabulary] after these tokens, which follow those before.

        `given`: rows that stand in the place of embeddings, by their place in `tokens`.
        """


class LanguageModel(Protocol):
    """An engine for texts of at most so many tokens."""

    max_positions: int

    def begin(self, options: Mapping[str, Any]) -> Text:
        """A new text. Raises BadInput for a cache that there is not."""


class PackedLanguageModel:
    """Weights of few bits, in NumPy."""

    def __init__(self, folder: Path) -> None:
        self.decoder = Decoder(PackedTensors.open(PackedModel.open(folder)))
        self.max_positions = self.decoder.shape.max_positions

    def begin(self, options: Mapping[str, Any]) -> Text:
        """A text with a cache of the bits asked for."""
        return PackedText(self.decoder, CacheFormat.parse(str(options.get("kv_cache", "16"))))


class PackedText:
    """A text of weights of few bits."""

    def __init__(self, decoder: Decoder, cache: CacheFormat) -> None:
        self._decoder, self._cache = decoder, PackedCache(decoder.shape, cache)

    def feed(self, tokens: IntArray, given: Rows | None = None) -> FloatArray:
        """The logits after them."""
        hidden = self._decoder.hidden(tokens, self._cache, given)
        logits: FloatArray = require_choice(self._decoder.logits(hidden[-1:])[0])
        return logits


class GraphLanguageModel:
    """A decoder graph that takes a cache: `page/families/texts/language_graph.js` is its twin."""

    def __init__(self, graph: Graph, max_positions: int, embedding: Graph | None = None) -> None:
        """`embedding`: the graph that makes the rows of tokens, for a decoder that takes rows."""
        self.graph, self.max_positions, self.embedding = graph, max_positions, embedding
        self.empty = {
            name: np.zeros(empty_shape(entry.sizes), np.float32)
            for name, entry in graph.inputs.items()
            if name.startswith("past_key_values.")
        }
        if not self.empty:
            raise ModelFault(graph.model, "its graph takes no past_key_values: it computes each text anew")

    def begin(self, options: Mapping[str, Any]) -> Text:
        """A text of its own."""
        return GraphText(self)


class GraphText:
    """A text of a decoder graph, with what the graph keeps of it."""

    def __init__(self, model: GraphLanguageModel) -> None:
        self._graph, self._cache, self._n_tokens = model.graph, model.empty, 0
        self._embedding = model.embedding

    def feed(self, tokens: IntArray, given: Rows | None = None) -> FloatArray:
        """The logits after them. Raises BadOutput, ModelFault."""
        first, self._n_tokens = self._n_tokens, self._n_tokens + len(tokens)
        ids = np.array([tokens], np.int64)
        rows = {} if self._embedding is None else {"inputs_embeds": self._embed(self._embedding, ids, given)}
        feeds = rows | {
            "input_ids": ids,
            "attention_mask": np.ones((1, self._n_tokens), np.int64),
            "position_ids": np.arange(first, self._n_tokens)[None],
            "use_cache_branch": np.array([first > 0]),
        }
        if (last := self._graph.inputs.get("num_logits_to_keep")) is not None:
            feeds["num_logits_to_keep"] = np.ones([1] * len(last.sizes), np.int64)
        outputs = self._graph.run(feeds | self._cache)
        self._cache = {name: outputs[name.replace("past_key_values", "present")] for name in self._cache}
        logits: FloatArray = require_choice(outputs["logits"][0, -1])
        return logits

    @staticmethod
    def _embed(embedding: Graph, ids: np.ndarray[Any, Any], given: Rows | None) -> FloatArray:
        """The rows of the tokens, those that are given in their places: [1, tokens, width]."""
        rows: FloatArray = embedding.run({"input_ids": ids})["inputs_embeds"]
        for place, row in (given or {}).items():
            rows[0, place] = row
        return rows


def generate(
    model: LanguageModel,
    prompt: Prompt,
    options: Mapping[str, Any],
    stop_tokens: Sequence[int],
    given: Rows | None = None,
) -> dict[str, Any]:
    """The tokens behind the prompt, and how they ended; `given`: rows by their place in the prompt."""
    text = model.begin(options)
    sampler = Sampler(options["sampling"], prompt.ids)
    room = min(options["max_new_tokens"], model.max_positions - len(prompt) + 1)
    tokens: list[int] = []
    fed, rows = prompt.ids, given
    while len(tokens) < room:
        token = sampler.sample(text.feed(fed, rows))
        tokens.append(token)
        if token in stop_tokens:
            return {"tokens": tokens, "finish": "stop"}
        fed, rows = np.asarray([token], np.int32), None
    return {"tokens": tokens, "finish": "length"}


def end_text(
    processor: GenerationProcessor, output: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """The output as a lane's run gives it: cut at a stop text, with the reason why it ended."""
    emitter = processor.open_emitter(options)
    tokens: list[int] = []
    text = ""
    for token in output["tokens"]:
        tokens.append(token)
        text += emitter.push([token])
        if emitter.stopped_by is not None:
            break
    text += emitter.finish()
    reason = output["finish"] if emitter.stopped_by is None else "stop_string"
    told = {"text": text, "tokens": tokens, "finish_reason": reason, "generated_tokens": len(tokens)}
    return {key: value for key, value in output.items() if key != "finish"} | told


class Generator:
    """A language model with the processor of its prompts."""

    def __init__(self, model: StoredModel, processor: GenerationProcessor, precision: Precision) -> None:
        self._stop_tokens = processor.stop_tokens
        ((stem, files),) = model.graphs(precision).items()
        path = model.folder / files.path
        self._model: LanguageModel = (
            PackedLanguageModel(path.parent)
            if stem == "low_bits"
            else GraphLanguageModel(Graph(path, model.name), processor.max_positions)
        )

    def prepare(self, item: Prompt, field: str, options: Mapping[str, Any]) -> Prompt:
        """The prompt itself. Raises BadInput for one that fills the model."""
        room = self._model.max_positions
        if len(item) >= room:
            raise BadInput(field, f"{len(item)} tokens", f"at most {room - 1} tokens")
        return item

    def compute(self, prompt: Prompt, options: Mapping[str, Any]) -> dict[str, Any]:
        """The tokens behind the prompt, and how they ended."""
        return generate(self._model, prompt, options, self._stop_tokens)

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
            heaviest = np.sort(weights)[::-1]
            last = int(np.searchsorted(np.cumsum(heaviest), self._top_p * weights.sum()))
            kept = weights >= heaviest[min(last, len(heaviest) - 1)]
            tokens, weights = tokens[kept], weights[kept]
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
