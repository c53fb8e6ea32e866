"""Texts to embeddings, as `page/families/text_embedding.js` does it."""

from __future__ import annotations

from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadInput, BadOutput, Unsupported
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.models.manifest import StoredModel
from browser_runtime.models.traits import read_json
from browser_runtime.simulation.graphs import Array, open_graphs, require_finite

HIDDEN_OUTPUTS = ("last_hidden_state", "token_embeddings")
POOLINGS = ("mean", "cls")


class Embedder:
    """A BERT-like encoder with its tokenizer and pooling."""

    def __init__(self, model: StoredModel, precision: Precision) -> None:
        from tokenizers import Tokenizer

        self._graph = open_graphs(model, precision)["model"]
        self._tokenizer = Tokenizer.from_file(str(model.folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_max_tokens(model))
        self._normalize = model.settings.get("normalize", True)
        self._pooling = model.settings.get("pooling", "mean")
        if self._pooling not in POOLINGS:
            raise Unsupported(f"pooling {self._pooling}", f"known are {', '.join(POOLINGS)}")

    def prepare(self, text: Any, field: str, options: dict[str, Any]) -> Any:
        """The text's tokens, cut to what the model takes. Raises BadInput for what is no text."""
        if not isinstance(text, str):
            raise BadInput(field, f"of type {type(text).__name__}", "a text")
        return self._tokenizer.encode(text)

    def compute(self, encoding: Any, options: dict[str, Any]) -> Array:
        """The token vectors: [tokens, dimension]."""
        ids = np.array([encoding.ids], np.int64)
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        outputs = self._graph.run(feeds)
        name = next((name for name in HIDDEN_OUTPUTS if name in outputs), None)
        if name is None:
            raise BadOutput(f"the graph gives {', '.join(outputs)} but none of {', '.join(HIDDEN_OUTPUTS)}")
        hidden: Array = outputs[name][0]
        return hidden

    def finish(self, encoding: Any, hidden: Array, options: dict[str, Any]) -> dict[str, Any]:
        """The pooled embedding, with how many tokens it stands for."""
        wide = hidden.astype(np.float64)
        vector = wide[0] if self._pooling == "cls" else wide.mean(axis=0)
        require_finite(vector, "embedding value")
        if self._normalize:
            vector = vector / max(float(np.linalg.norm(vector)), np.finfo(np.float64).tiny)
        cut = bool(encoding.overflowing)
        return {"embedding": vector.astype(np.float32), "tokens": len(encoding.ids), "truncated": cut}


def _max_tokens(model: StoredModel) -> int:
    """The least of what the manifest, the tokenizer and the position table take."""
    limits = [
        model.settings.get("max_tokens"),
        read_json(model.folder / "tokenizer_config.json").get("model_max_length"),
        read_json(model.folder / "config.json").get("max_position_embeddings"),
    ]
    return int(min(limit for limit in (*limits, 1 << 30) if isinstance(limit, (int, float))))
