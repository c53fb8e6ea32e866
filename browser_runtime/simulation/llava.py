"""Images and prompts to text, as `page/families/llava.js` does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from browser_runtime.contract.errors import BadInput, ModelFault
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.families.llava import PicturedPrompt, PicturingProcessor
from browser_runtime.low_bits.arrays import FloatArray
from browser_runtime.models.manifest import StoredModel
from browser_runtime.simulation.feeds import pad_rows
from browser_runtime.simulation.graphs import Graph, require_vector
from browser_runtime.simulation.text_generation import (
    GraphLanguageModel,
    LanguageModel,
    PackedLanguageModel,
    generate,
)
from browser_runtime.simulation.vision import prepare_pixels, require_image


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prompt with the pixels of its images, each [channels, height, width]."""

    prompt: PicturedPrompt
    planes: tuple[FloatArray, ...]


class Picturer:
    """An image tower before a language model."""

    def __init__(self, model: StoredModel, processor: PicturingProcessor, precision: Precision) -> None:
        self._processor = processor
        files = model.graphs(precision)
        graphs = {
            stem: Graph(model.folder / each.path, model.name)
            for stem, each in files.items()
            if stem != "low_bits"
        }
        self._tower = graphs["vision_encoder"]
        self._model: LanguageModel = (
            PackedLanguageModel((model.folder / files["low_bits"].path).parent)
            if "low_bits" in files
            else GraphLanguageModel(
                graphs["decoder_model_merged"], processor.max_positions, graphs["embed_tokens"]
            )
        )

    def prepare(self, item: PicturedPrompt, field: str, options: Mapping[str, Any]) -> Prepared:
        """The pixels of the images. Raises BadInput for what is no image, or fills the model."""
        room = self._model.max_positions
        if len(item) >= room:
            raise BadInput(field, f"{len(item)} tokens", f"at most {room - 1} tokens")
        images = [require_image(image, f"{field}.images[{at}]") for at, image in enumerate(item.images)]
        planes = tuple(prepare_pixels(image, self._processor.pixels) for image in images)
        return Prepared(item, planes)

    def compute(self, prepared: Prepared, options: Mapping[str, Any]) -> dict[str, Any]:
        """The tokens behind the prompt, and how they ended."""
        prompt = prepared.prompt
        rows = {
            start + at: row
            for start, planes in zip(prompt.starts, prepared.planes, strict=True)
            for at, row in enumerate(self._embed(planes))
        }
        return generate(self._model, prompt, options, self._processor.stop_tokens, rows)

    def _embed(self, planes: FloatArray) -> FloatArray:
        """The rows of one image: [tokens, width]. Raises ModelFault, BadOutput."""
        graph, count = self._tower, self._processor.plan.tokens_per_image
        pixels = graph.inputs.get("pixel_values")
        outputs = graph.run({"pixel_values": pad_rows(planes[None], pixels.size(0) if pixels else None)})
        found = outputs["image_features"]
        rows: FloatArray = found[0] if found.ndim == 3 else found[:count]
        if rows.shape[0] != count:
            raise ModelFault(graph.model, f"its tower gives {rows.shape[0]} tokens an image, not {count}")
        return require_vector(rows, "image feature")

    def finish(
        self, prepared: Prepared, computed: Mapping[str, Any], options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The output as a page gives it."""
        prompt = prepared.prompt
        return {**computed, "prompt_tokens": len(prompt), "reused_tokens": 0, **prompt.counts}


RUNNER = Picturer
