"""Image classification, as ViT does it: pixels in, scores of labels out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from browser_runtime.contract.errors import BadInput
from browser_runtime.families.logits import tell_flat
from browser_runtime.families.processor import Options, Output, Plain, Processor, locate_example
from browser_runtime.models.configuration.pixels import PixelPlan
from browser_runtime.models.configuration.preprocessors import IMAGES, read_preprocessor
from browser_runtime.models.configuration.scores import ScorePlan
from browser_runtime.models.files.json_files import read_object
from browser_runtime.models.manifest import StoredModel

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


class ImageProcessor(Processor):
    """The pixel plan of a model, its labels, and the function that makes scores of logits."""

    def __init__(self, folder: Path, model: StoredModel | None = None) -> None:
        """Reads config.json and preprocessor_config.json. Raises BadInput."""
        config = read_object(folder / "config.json")
        self._model = model
        self.pixels = PixelPlan.of(read_preprocessor(folder, IMAGES), config)
        self.scores = ScorePlan.of(config)

    @classmethod
    def check(cls, folder: Path) -> None:
        """Returns if the two files ask only for what is done here. Raises BadInput."""
        cls(folder)

    @classmethod
    def open(cls, model: StoredModel) -> Self:
        """The processor of a stored model. Raises BadInput."""
        return cls(model.folder, model)

    @property
    def settings(self) -> Plain:
        """The pixel plan, the labels by their index, and the choices of an example."""
        labels = {str(index): name for index, name in self.scores.names.items()}
        return {"pixels": self.pixels.to_page(), "labels": labels, "example": self.choose({})}

    def encode(
        self, items: Sequence[Any], fields: Sequence[str], options: Options
    ) -> list[Pixels | BadInput]:
        """The images; a BadInput in the place of texts, which a classifier does not read."""
        return [
            BadInput(field, "holding texts", "an image: a classifier has labels of its own; CLIP takes both")
            if isinstance(item, dict)
            else item
            for item, field in zip(items, fields, strict=True)
        ]

    def choose(self, options: Options) -> Plain:
        """The number of labels, and the function that makes their scores."""
        return self.scores.choose(options)

    def find_doubt(self, output: Output) -> str:
        """Warns of logits that are all equal: the order of the labels is then chance."""
        return tell_flat(output["logits"])

    def sample_items(self) -> list[Pixels]:
        """An image with every grey level in it."""
        return [draw_sample()]

    def read_example(self, path_or_text: str) -> Pixels:
        """The pixels of an image file: uint8 [height, width, 3]."""
        assert self._model is not None, "examples belong to a stored model"
        return read_picture(self._model, path_or_text)


def draw_sample() -> Pixels:
    """An image with every grey level in it: uint8 [64, 48, 3]."""
    return (np.arange(64 * 48 * 3) % 256).astype(np.uint8).reshape(64, 48, 3)


def read_picture(model: StoredModel, path: str) -> Pixels:
    """The pixels of an image file in the model's folder: uint8 [height, width, 3]."""
    from PIL import Image

    with Image.open(locate_example(model, path)) as image:
        return np.asarray(image.convert("RGB"))


PROCESSOR = ImageProcessor
