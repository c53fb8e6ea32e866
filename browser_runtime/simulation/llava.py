"""Images and prompts to text, as `page/families/llava.js` does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadInput, ModelFault
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.families.llava import PicturedPrompt, PicturingProcessor
from browser_runtime.low_bits.arrays import FloatArray
from browser_runtime.models.manifest import StoredModel
from browser_runtime.simulation.graphs import Graph, require_vector
from browser_runtime.simulation.text_generation import (
    GraphLanguageModel,
    LanguageModel,
    PackedLanguageModel,
    generate,
)
from browser_runtime.simulation.vision import cut_tiles, prepare_pixels, require_image

# [1, images of a prompt, channels, height, width], as graphs of Idefics3 take them.
NESTED_AXES = 5


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prompt with the pixels of its images, each [channels, height, width]."""

    prompt: PicturedPrompt
    planes: tuple[FloatArray, ...]
    """Of each image, or of each tile of one."""


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
        plan = self._processor.pixels
        tiles = [tile for image in images for tile in cut_tiles(image, plan)]
        planes = tuple(prepare_pixels(tile, plan) for tile in tiles)
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
        """The rows of one image or tile: [tokens, width]. Raises ModelFault, BadOutput."""
        graph, count = self._tower, self._processor.plan.tokens_per_tile
        shape = graph.inputs.get("pixel_values")
        is_nested = shape is not None and len(shape.sizes) == NESTED_AXES
        rows = shape.size(1 if is_nested else 0) if shape else None
        pixels = np.repeat(planes[None], rows or 1, axis=0)
        feeds = {"pixel_values": pixels[None] if is_nested else pixels}
        if is_nested:
            feeds["pixel_attention_mask"] = np.ones_like(feeds["pixel_values"][:, :, 0])
        outputs = graph.run(feeds)
        found = outputs["image_features"]
        found = found.reshape(-1, found.shape[-1])
        if len(found) != count * len(pixels):
            given = len(found) // len(pixels)
            raise ModelFault(graph.model, f"its tower gives {given} tokens an image, not {count}")
        return require_vector(found[:count], "image feature")

    def finish(
        self, prepared: Prepared, computed: Mapping[str, Any], options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The output as a page gives it."""
        prompt = prepared.prompt
        return {**computed, "prompt_tokens": len(prompt), "reused_tokens": 0, **prompt.counts}


RUNNER = Picturer
