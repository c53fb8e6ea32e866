"""Images and texts in one space, as CLIP and SigLIP have them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadInput
from browser_runtime.families.comparing import Array, ComparingProcessor
from browser_runtime.families.vision import Pixels, draw_sample, read_picture
from browser_runtime.models.configuration.pixels import PixelPlan
from browser_runtime.models.configuration.preprocessors import IMAGES, read_preprocessor
from browser_runtime.models.files.json_files import Json, read_object
from browser_runtime.models.manifest import StoredModel


class ImageComparingProcessor(ComparingProcessor):
    """The pixel plan of a model beside its tokenizer."""

    NOUN = "an image"
    # transformers' ZeroShotImageClassificationPipeline.
    TEMPLATE = "This is a photo of {}."
    # A text of 16 tokens through CLIP's text encoder, in images of 224 pixels through ViT-base.
    WORK_OF_A_TEXT = 0.1

    def __init__(self, folder: Path, model: StoredModel | None = None) -> None:
        """Reads the model's JSON files and opens its tokenizer. Raises BadInput, BadRequest."""
        super().__init__(folder, model)
        config = read_object(folder / "config.json")
        self.pixels = PixelPlan.of(read_preprocessor(folder, IMAGES), config)

    def read_array(self, item: Any, field: str) -> tuple[Array | None, Mapping[str, object]]:
        """The pixels. Raises BadInput for several images together, a prompt or a chat, which LLaVA reads."""
        if isinstance(item, dict) and "images" in item:
            item = self._read_pictured(item, field)
        image = item if isinstance(item, np.ndarray) else None
        return item.get("image") if isinstance(item, dict) else image, {}

    def _read_pictured(self, item: Mapping[str, Any], field: str) -> Mapping[str, Any]:
        """An item of `{"images": [...]}` with its one image, or none, under `image`. Raises BadInput."""
        if "texts" not in item:
            raise BadInput(field, "a prompt or a chat", f"{self.NOUN}, texts, or both")
        images = item["images"]
        if len(images) > 1:
            raise BadInput(field, f"{len(images)} images with one text", "one image with its texts")
        return {"image": images[0]} if images else {}

    def plan_arrays(self) -> Json:
        """The pixel plan."""
        return {"pixels": self.pixels.to_page()}

    def draw_sample(self) -> Pixels:
        """An image with every grey level in it."""
        return draw_sample()

    def read_example(self, path_or_text: str) -> Pixels:
        """The pixels of an image file: uint8 [height, width, 3]."""
        assert self.model is not None, "examples belong to a stored model"
        return read_picture(self.model, path_or_text)


PROCESSOR = ImageComparingProcessor
