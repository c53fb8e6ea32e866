"""Images or sounds with texts in one space, as `page/families/towers/comparer.js` does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadOutput
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.families.comparing import Comparison
from browser_runtime.families.processor import Options, Output
from browser_runtime.models.manifest import StoredModel
from browser_runtime.simulation.feeds import Array
from browser_runtime.simulation.graphs import Graph, open_graphs, require_finite, require_vector
from browser_runtime.simulation.vision import score_logits
from browser_runtime.texts.tokens import Tokens

TEXT_OUTPUTS = ("text_embeds", "pooler_output")


@dataclass(frozen=True, slots=True)
class Prepared:
    """An item with its pixels or features as the graph takes them, without the batch's axis."""

    features: Array | None
    texts: tuple[tuple[str, Tokens], ...]
    facts: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Vectors:
    """The vector of the image or sound, and those of the texts, in their order."""

    shown: Array | None
    texts: tuple[tuple[str, Array], ...] = ()


class Comparer:
    """The two graphs of a model with its processor; a subclass prepares what its texts are compared with."""

    def __init__(self, model: StoredModel, processor: Any, precision: Precision) -> None:
        self.processor = processor
        self.graphs = open_graphs(model, precision)

    def prepare_array(self, array: Array, field: str) -> Array:
        """The pixels or features as the graph takes them, without the batch's axis. Raises BadInput."""
        raise NotImplementedError

    def embed_array(self, features: Array) -> Array:
        """The vector of one image or sound."""
        raise NotImplementedError

    def prepare(self, item: Comparison, field: str, options: Options) -> Prepared:
        """The features and tokens. Raises BadInput for what is no image or sound."""
        features = None if item.array is None else self.prepare_array(item.array, field)
        return Prepared(features, item.texts or (), item.facts)

    def compute(self, prepared: Prepared, options: Options) -> Vectors:
        """The vectors of the image or sound and of each text."""
        shown = None if prepared.features is None else self.embed_array(prepared.features)
        return Vectors(shown, tuple((name, self._embed_text(tokens)) for name, tokens in prepared.texts))

    def finish(self, prepared: Prepared, computed: Vectors, options: Options) -> Output:
        """The embedding, and the texts' scores where there are both."""
        array, texts = computed.shown, computed.texts
        embedding = texts[0][1] if array is None else array
        shown = embedding / np.linalg.norm(embedding) if options["normalize"] else embedding
        output: Output = {"embedding": require_finite(shown, "embedding value").astype(np.float32)}
        if array is None:
            ((_, tokens),) = prepared.texts
            return output | {"tokens": len(tokens), "truncated": tokens.truncated}
        output |= prepared.facts
        return output | self._score(array, texts, options) if texts else output

    def _score(self, array: Array, texts: Sequence[tuple[str, Array]], options: Options) -> Output:
        plan = self.processor.plan
        assert plan.scale is not None, "the processor refuses scores without a scale"
        cosines = np.array([_cosine(array, vector) for _, vector in texts])
        logits = plan.scale * cosines + plan.bias
        scores = score_logits(logits, plan.function)
        best = np.argsort(-scores, kind="stable")[: options["top_k"] or len(scores)]
        labels = [{"label": texts[at][0], "score": float(scores[at])} for at in best]
        return {"labels": labels, "logits": logits.astype(np.float32)}

    def _embed_text(self, tokens: Tokens) -> Array:
        plan, graph = self.processor.plan, self.graphs["text_model"]
        declared = graph.inputs.get("input_ids")
        columns = plan.max_tokens if plan.pads_fully else declared.size(1) if declared else None
        ids = np.full((1, columns or len(tokens)), self.processor.pad_id, np.int64)
        ids[0, : len(tokens)] = tokens.ids
        mask = (np.arange(ids.shape[1]) < len(tokens)).astype(np.int64)[None]
        feeds = {
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": np.arange(ids.shape[1], dtype=np.int64)[None],
        }
        return first_vector(graph, feeds, TEXT_OUTPUTS)


def first_vector(graph: Graph, feeds: dict[str, Any], names: Sequence[str]) -> Array:
    """The first row of the first output of those names. Raises BadOutput where there is none."""
    outputs = graph.run(feeds)
    name = next((name for name in names if name in outputs), None)
    if name is None or outputs[name].ndim != 2:
        raise BadOutput(f"the graph gives {', '.join(outputs)} but no vector an item")
    return require_vector(outputs[name][0], "embedding value")


def _cosine(one: Array, other: Array) -> float:
    first, second = one.astype(np.float64), other.astype(np.float64)
    length = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / length if length else 0.0
