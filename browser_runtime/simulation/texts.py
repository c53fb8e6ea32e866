"""Texts to embeddings, as `page/families/text_embedding.js` does it."""

from __future__ import annotations

from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadInput, BadOutput, Unsupported
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.models.manifest import StoredModel
from browser_runtime.simulation.graphs import Array, open_graphs, require_finite
from browser_runtime.texts.preprocessor import PREPROCESSORS
from browser_runtime.texts.tokens import Tokens

HIDDEN_OUTPUTS = ("last_hidden_state", "token_embeddings")
POOLINGS = ("mean", "cls")


class Embedder:
    """A BERT-like encoder with its preprocessor and pooling."""

    def __init__(self, model: StoredModel, precision: Precision) -> None:
        self._graph = open_graphs(model, precision)["model"]
        self._preprocessor = PREPROCESSORS.take(model)
        self._normalize = model.settings.get("normalize", True)
        self._pooling = model.settings.get("pooling", "mean")
        if self._pooling not in POOLINGS:
            raise Unsupported(f"pooling {self._pooling}", f"known are {', '.join(POOLINGS)}")

    def prepare(self, text: Any, field: str, options: dict[str, Any]) -> Tokens:
        """The text's tokens, cut to what the model takes. Raises BadInput for what is no text."""
        (tokens,) = self._preprocessor.encode([text], [field])
        if isinstance(tokens, BadInput):
            raise tokens
        return tokens

    def compute(self, tokens: Tokens, options: dict[str, Any]) -> Array:
        """The token vectors: [tokens, dimension]."""
        ids = tokens.ids[None].astype(np.int64)
        segments = np.zeros_like(ids) if tokens.segments is None else tokens.segments[None]
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": segments}
        outputs = self._graph.run(feeds)
        name = next((name for name in HIDDEN_OUTPUTS if name in outputs), None)
        if name is None:
            raise BadOutput(f"the graph gives {', '.join(outputs)} but none of {', '.join(HIDDEN_OUTPUTS)}")
        hidden: Array = outputs[name][0]
        return hidden

    def finish(self, tokens: Tokens, hidden: Array, options: dict[str, Any]) -> dict[str, Any]:
        """The pooled embedding, with how many tokens it stands for."""
        wide = hidden.astype(np.float64)
        vector = wide[0] if self._pooling == "cls" else wide.mean(axis=0)
        require_finite(vector, "embedding value")
        if self._normalize:
            vector = vector / max(float(np.linalg.norm(vector)), np.finfo(np.float64).tiny)
        embedding = vector.astype(np.float32)
        return {"embedding": embedding, "tokens": len(tokens), "truncated": tokens.truncated}
