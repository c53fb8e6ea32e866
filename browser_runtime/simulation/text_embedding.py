"""Texts to embeddings, as `page/families/text_embedding.js` does it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from browser_runtime.contract.errors import BadOutput
from browser_runtime.contract.families import PACKED_ENCODER
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.families.processor import Options, Output
from browser_runtime.families.text_embedding import TextProcessor
from browser_runtime.low_bits.encoder import Encoder
from browser_runtime.low_bits.encoder_file import PackedEncoder
from browser_runtime.models.manifest import StoredModel
from browser_runtime.simulation.feeds import Array, TextShape
from browser_runtime.simulation.graphs import open_graphs, require_finite
from browser_runtime.simulation.sentence_modules import apply_modules, cut_vector
from browser_runtime.texts.tokens import Tokens

HIDDEN_OUTPUTS = ("last_hidden_state", "token_embeddings")


class TokenVectors(Protocol):
    """An encoder, whatever runs it."""

    def run(self, tokens: Tokens) -> Array:
        """The token vectors: [tokens, dimension]."""


class GraphVectors:
    """An encoder's ONNX graph."""

    def __init__(self, model: StoredModel, processor: TextProcessor, precision: Precision) -> None:
        self._graph = open_graphs(model, precision)["model"]
        self._processor = processor
        self._shape = TextShape.of(model.name, self._graph.inputs)

    def run(self, tokens: Tokens) -> Array:
        """The token vectors. Raises BadOutput for outputs that are none."""
        feeds = self._shape.feed(tokens, self._processor.pad_id, self._processor.plan.first_position)
        outputs = self._graph.run(feeds)
        name = next((name for name in HIDDEN_OUTPUTS if name in outputs), None)
        if name is None:
            raise BadOutput(f"the graph gives {', '.join(outputs)} but none of {', '.join(HIDDEN_OUTPUTS)}")
        hidden = outputs[name]
        if hidden.shape[:2] != feeds["input_ids"].shape or hidden.ndim != 3:
            raise BadOutput(f"{name} has the shape {list(hidden.shape)}, not a vector a token")
        return hidden[0, : len(tokens)]


class PackedVectors:
    """An encoder of 8-bit weights, in NumPy."""

    def __init__(self, folder: Path) -> None:
        self._encoder = Encoder(PackedEncoder.open(folder))

    def run(self, tokens: Tokens) -> Array:
        """The token vectors."""
        return self._encoder.run(tokens.ids, tokens.segments)


class Embedder:
    """An encoder with its processor and the modules that follow it."""

    def __init__(self, model: StoredModel, processor: TextProcessor, precision: Precision) -> None:
        packed = model.graphs(precision).get(PACKED_ENCODER.stem)
        self._processor = processor
        self._encoder: TokenVectors = (
            GraphVectors(model, processor, precision)
            if packed is None
            else PackedVectors((model.folder / packed.path).parent)
        )

    def prepare(self, item: Tokens, field: str, options: Options) -> Tokens:
        """The tokens themselves."""
        return item

    def compute(self, tokens: Tokens, options: Options) -> Array:
        """The token vectors: [tokens, dimension]."""
        return self._encoder.run(tokens)

    def finish(self, tokens: Tokens, hidden: Array, options: Options) -> Output:
        """The text's embedding, with how many tokens it stands for."""
        vector = apply_modules(self._processor.modules, hidden.astype(np.float64), tokens.n_prompt)
        embedding = cut_vector(vector, options).astype(np.float32)
        require_finite(embedding, "embedding value")
        return {"embedding": embedding, "tokens": len(tokens), "truncated": tokens.truncated}


RUNNER = Embedder
