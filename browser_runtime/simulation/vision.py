"""Images to labels, as `page/families/vision.js` does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from browser_runtime.contract.errors import BadInput, BadOutput, BadRequest
from browser_runtime.contract.families import PACKED_ENCODER
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.families.processor import Options, Output
from browser_runtime.families.vision import ImageProcessor
from browser_runtime.low_bits.encoder import Encoder
from browser_runtime.low_bits.encoder_file import PackedEncoder
from browser_runtime.low_bits.encoder_shape import ImageInput
from browser_runtime.models.configuration.pixels import PixelPlan
from browser_runtime.models.configuration.sizes import Exact
from browser_runtime.models.manifest import StoredModel
from browser_runtime.simulation.feeds import Array, pad_rows
from browser_runtime.simulation.graphs import open_graphs, require_finite
from browser_runtime.simulation.resampling import Region, resize


class Logits(Protocol):
    """A classifier, whatever runs it."""

    def run(self, planes: Array) -> Array:
        """The logits of prepared pixels: [classes]."""


class GraphLogits:
    """A classifier's ONNX graph, or those of its tower and head."""

    def __init__(self, model: StoredModel, precision: Precision) -> None:
        graphs = open_graphs(model, precision)
        self._graph = graphs.get("model") or graphs["vision_model"]
        self._head = graphs.get("classification_head")
        pixels = self._graph.inputs.get("pixel_values")
        self._rows = pixels.size(0) if pixels else None

    def run(self, planes: Array) -> Array:
        """The logits. Raises BadOutput for outputs that are none."""
        feeds = {"pixel_values": pad_rows(planes[None], self._rows)}
        outputs = self._graph.run(feeds)
        if self._head is not None:
            name = "image_embeds" if "image_embeds" in outputs else "pooler_output"
            outputs = self._head.run({"image_embeds": outputs[name]})
        logits: Array = outputs["logits"]
        if logits.ndim != 2 or len(logits) != len(feeds["pixel_values"]):
            raise BadOutput(f"logits have the shape {list(logits.shape)}, not a row an image")
        first: Array = logits[0]
        return first


class PackedLogits:
    """A ViT of 8-bit weights, in NumPy."""

    def __init__(self, folder: Path, pixels: PixelPlan) -> None:
        packed = PackedEncoder.open(folder)
        image = packed.shape.input
        if not isinstance(image, ImageInput):
            raise BadRequest(f"{folder.name} holds an encoder of texts, not of images")
        given = (image.channels, image.height, image.width)
        if given != (pixels.channels, pixels.size.height, pixels.size.width):
            made = (pixels.channels, pixels.size.height, pixels.size.width)
            raise BadRequest(f"the encoder takes images of {list(given)}, and {list(made)} are made of them")
        self._encoder = Encoder(packed)

    def run(self, planes: Array) -> Array:
        """The logits."""
        return self._encoder.classify(planes)


class Classifier:
    """An image classifier such as ViT."""

    def __init__(self, model: StoredModel, processor: ImageProcessor, precision: Precision) -> None:
        self._processor = processor
        packed = model.graphs(precision).get(PACKED_ENCODER.stem)
        self._logits: Logits = (
            GraphLogits(model, precision)
            if packed is None
            else PackedLogits((model.folder / packed.path).parent, processor.pixels)
        )

    def prepare(self, image: Any, field: str, options: Options) -> Array:
        """The pixels as the model takes them: [channels, height, width]. Raises BadInput."""
        return prepare_pixels(require_image(image, field), self._processor.pixels)

    def compute(self, planes: Array, options: Options) -> Array:
        """The logits: [classes]."""
        return self._logits.run(planes)

    def finish(self, planes: Array, logits: Array, options: Options) -> Output:
        """The labels of the highest scores, highest first."""
        require_finite(logits, "logit")
        scores = score_logits(logits.astype(np.float64), options["function"])
        best = np.argsort(-scores, kind="stable")[: options["top_k"]]
        name = self._processor.scores.name
        labels = [{"label": name(int(at)), "score": float(scores[at])} for at in best]
        return {"labels": labels, "logits": logits.astype(np.float32)}


def score_logits(logits: Array, function: str) -> Array:
    """A score for each logit. `default`: a sigmoid for one logit alone, else softmax."""
    if function == "none":
        return logits
    if function == "sigmoid" or (function == "default" and len(logits) == 1):
        # Where exp overflows the score is 0, and right.
        with np.errstate(over="ignore"):
            scores: Array = 1 / (1 + np.exp(-logits))
        return scores
    powers = np.exp(logits - logits.max())
    softmax: Array = powers / powers.sum()
    return softmax


def require_image(image: Any, field: str) -> Array:
    """`image`, if it is uint8 [height, width, 3]. Raises BadInput."""
    whole = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3
    if not whole or image.shape[2] != 3 or 0 in image.shape:
        shape = getattr(image, "shape", type(image).__name__)
        raise BadInput(field, f"of shape {shape}", "an array of bytes [height, width, 3]")
    pixels: Array = image
    return pixels


def cut_tiles(image: Array, plan: PixelPlan) -> list[Array]:
    """The tiles of uint8 [height, width, 3] by rows, then all of it; the image alone where none are cut."""
    if plan.tiles is None:
        return [image]
    edge = plan.tiles.edge
    first = _resize_whole(image, plan.tiles.first(*image.shape[:2]), plan)
    whole = _resize_whole(first, plan.tiles.whole(*image.shape[:2]), plan)
    rows, columns = plan.tiles.grid(*image.shape[:2])
    tiles = [
        whole[row * edge : (row + 1) * edge, column * edge : (column + 1) * edge]
        for row in range(rows)
        for column in range(columns)
    ]
    return [*tiles, _resize_whole(whole, Exact(edge, edge), plan)]


def _resize_whole(image: Array, size: Exact, plan: PixelPlan) -> Array:
    region = Region(0, 0, size.height, size.width)
    return resize(image, size.height, size.width, plan.resample, region)


def prepare_pixels(image: Array, plan: PixelPlan) -> Array:
    """float32 [channels, height, width] of uint8 [height, width, 3], by the plan."""
    coloured = np.asarray(Image.fromarray(image).convert("L"))[..., None] if plan.channels == 1 else image
    whole = plan.resized(*image.shape[:2])
    top, left = (whole.height - plan.size.height) // 2, (whole.width - plan.size.width) // 2
    height, width = min(plan.size.height, whole.height), min(plan.size.width, whole.width)
    region = Region(max(top, 0), max(left, 0), height, width)
    middle = _resize(coloured, whole, plan, region)
    if plan.flipped:
        middle = middle[..., ::-1]
    canvas = np.zeros((plan.size.height, plan.size.width, plan.channels), np.uint8)
    canvas[max(-top, 0) : max(-top, 0) + height, max(-left, 0) : max(-left, 0) + width] = middle
    return np.stack([plan.levels[channel][canvas[..., channel]] for channel in range(plan.channels)])


def _resize(pixels: Array, whole: Exact, plan: PixelPlan, region: Region) -> Array:
    if plan.resize is None:
        return pixels[region.top : region.top + region.height, region.left : region.left + region.width]
    return resize(pixels, whole.height, whole.width, plan.resample, region)


RUNNER = Classifier
