"""Images and texts in one space, as `page/families/clip.js` does it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadOutput
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.families.clip import ComparingProcessor, Comparison
from browser_runtime.families.processor import Options, Output
from browser_runtime.models.manifest import StoredModel
from browser_runtime.simulation.feeds import Array, pad_rows
from browser_runtime.simulation.graphs import Graph, open_graphs, require_finite
from browser_runtime.simulation.vision import prepare_pixels, require_image, score_logits
from browser_runtime.texts.tokens import Tokens

OUTPUTS = {"vision_model": ("image_embeds", "pooler_output"), "text_model": ("text_embeds", "pooler_output")}


@dataclass(frozen=True, slots=True)
class Prepared:
    """An item with its pixels as the graph takes them: [channels, height, width]."""

    planes: Array | None
    texts: dict[str, Tokens]


@dataclass(frozen=True, slots=True)
class Vectors:
    """The image's vector and those of the texts, by their names."""

    image: Array | None
    texts: dict[str, Array] = field(default_factory=dict)


class Comparer:
    """The two graphs of a CLIP with their processor."""

    def __init__(self, model: StoredModel, processor: ComparingProcessor, precision: Precision) -> None:
        self._processor = processor
        self._graphs = open_graphs(model, precision)

    def prepare(self, item: Comparison, field: str, options: Options) -> Prepared:
        """The pixels and tokens. Raises BadInput for what is no image."""
        if item.image is None:
            return Prepared(None, item.texts or {})
        image = require_image(item.image, field)
        return Prepared(prepare_pixels(image, self._processor.pixels), item.texts or {})

    def compute(self, prepared: Prepared, options: Options) -> Vectors:
        """The vectors of the image and of each text."""
        image = None if prepared.planes is None else self._embed_image(prepared.planes)
        return Vectors(image, {name: self._embed_text(tokens) for name, tokens in prepared.texts.items()})

    def finish(self, prepared: Prepared, computed: Vectors, options: Options) -> Output:
        """The embedding, and the texts' scores where there are both."""
        image, texts = computed.image, computed.texts
        embedding = next(iter(texts.values())) if image is None else image
        shown = embedding / np.linalg.norm(embedding) if options["normalize"] else embedding
        output: Output = {"embedding": require_finite(shown, "embedding value").astype(np.float32)}
        if image is None:
            (tokens,) = prepared.texts.values()
            return output | {"tokens": len(tokens), "truncated": tokens.truncated}
        return output | self._score(image, texts, options) if texts else output

    def _score(self, image: Array, texts: dict[str, Array], options: Options) -> Output:
        plan = self._processor.plan
        assert plan.scale is not None, "the processor refuses scores without a scale"
        cosines = np.array([_cosine(image, vector) for vector in texts.values()])
        logits = plan.scale * cosines + plan.bias
        scores = score_logits(logits, plan.function)
        best = np.argsort(-scores, kind="stable")[: options["top_k"] or len(scores)]
        names = list(texts)
        labels = [{"label": names[at], "score": float(scores[at])} for at in best]
        return {"labels": labels, "logits": logits.astype(np.float32)}

    def _embed_image(self, planes: Array) -> Array:
        graph = self._graphs["vision_model"]
        pixels = graph.inputs.get("pixel_values")
        feeds = {"pixel_values": pad_rows(planes[None], pixels.size(0) if pixels else None)}
        return _first_vector(graph, feeds, "vision_model")

    def _embed_text(self, tokens: Tokens) -> Array:
        plan, graph = self._processor.plan, self._graphs["text_model"]
        declared = graph.inputs.get("input_ids")
        columns = plan.max_tokens if plan.pads_fully else declared.size(1) if declared else None
        ids = np.full((1, columns or len(tokens)), self._processor.pad_id, np.int64)
        ids[0, : len(tokens)] = tokens.ids
        mask = (np.arange(ids.shape[1]) < len(tokens)).astype(np.int64)[None]
        feeds = {
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": np.arange(ids.shape[1], dtype=np.int64)[None],
        }
        return _first_vector(graph, feeds, "text_model")


def _first_vector(graph: Graph, feeds: dict[str, Any], stem: str) -> Array:
    outputs = graph.run(feeds)
    name = next((name for name in OUTPUTS[stem] if name in outputs), None)
    if name is None or outputs[name].ndim != 2:
        raise BadOutput(f"the graph gives {', '.join(outputs)} but no vector an item")
    vector: Array = outputs[name][0]
    return vector


def _cosine(one: Array, other: Array) -> float:
    first, second = one.astype(np.float64), other.astype(np.float64)
    length = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / length if length else 0.0


RUNNER = Comparer
