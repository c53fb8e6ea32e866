"""Images to labels, as `page/families/vision.js` does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from browser_runtime.contract.errors import BadInput, Unsupported
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.models.json_files import read_json
from browser_runtime.models.manifest import StoredModel
from browser_runtime.simulation.choices import read_count
from browser_runtime.simulation.graphs import Array, open_graphs, require_finite

# As many as Hugging Face's pipelines give.
TOP_K = 5
# Lanczos, bilinear and bicubic by Pillow's numbers: what the page resizes with.
RESAMPLES = (1, 2, 3)
# A config that asks for one of these is refused, not half obeyed.
UNKNOWN_STEPS = ("crop_pct", "do_pad", "do_convert_bgr", "do_flip_channel_order", "do_reduce_labels")


class Classifier:
    """An image classifier such as ViT."""

    def __init__(self, model: StoredModel, precision: Precision) -> None:
        config = read_json(model.folder / "config.json")
        self._plan = PixelPlan.of(
            read_json(model.folder / "preprocessor_config.json"), config.get("num_channels", 3)
        )
        self._names = {int(index): str(name) for index, name in config.get("id2label", {}).items()}
        self._graph = open_graphs(model, precision)["model"]

    def prepare(self, image: Any, field: str, options: dict[str, Any]) -> Array:
        """The pixels as the model takes them: [channels, height, width]. Raises BadInput."""
        read_count(options, "top_k", TOP_K)
        whole = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3
        if not whole or image.shape[2] != 3 or 0 in image.shape:
            shape = getattr(image, "shape", type(image).__name__)
            raise BadInput(field, f"of shape {shape}", "an array of bytes [height, width, 3]")
        return self._plan.prepare(image)

    def compute(self, planes: Array, options: dict[str, Any]) -> Array:
        """The logits: [classes]."""
        logits: Array = self._graph.run({"pixel_values": planes[None]})["logits"][0]
        return logits

    def finish(self, planes: Array, logits: Array, options: dict[str, Any]) -> dict[str, Any]:
        """The likeliest labels, likeliest first, with their probabilities."""
        require_finite(logits, "logit")
        powers = np.exp(logits.astype(np.float64) - float(logits.max()))
        scores = powers / powers.sum()
        best = np.argsort(-scores, kind="stable")[: read_count(options, "top_k", TOP_K)]
        labels = [{"label": self._names.get(int(at), str(at)), "score": float(scores[at])} for at in best]
        return {"labels": labels, "logits": logits.astype(np.float32)}


@dataclass(frozen=True)
class PixelPlan:
    """From an image's bytes to a model's numbers, by preprocessor_config.json."""

    channels: int
    resize: tuple[int, int] | int | None
    """(height, width), or the length of the shorter side, or None for images taken as they are."""
    crop: tuple[int, int]
    resample: int
    factor: float
    mean: Array
    deviation: Array

    @classmethod
    def of(cls, config: dict[str, Any], channels: int) -> PixelPlan:
        """What the config asks for. Raises Unsupported for what neither page nor simulation does."""
        for step in UNKNOWN_STEPS:
            if config.get(step):
                raise Unsupported(f"preprocessing step {step}", "no family knows it")
        resize = None if config.get("do_resize") is False else _read_size(config.get("size"))
        crop = _read_size(config.get("crop_size")) if config.get("do_center_crop") else resize
        resample = 2 if config.get("resample") is None else config["resample"]
        if not isinstance(crop, tuple):
            raise Unsupported("a preprocessor_config without a fixed size", f"size {config.get('size')}")
        if resample not in RESAMPLES:
            raise Unsupported(f"resample {resample}", "known are 1, 2 and 3")
        normal = config.get("do_normalize") is not False
        return cls(
            channels=channels,
            resize=resize,
            crop=crop,
            resample=resample,
            factor=1.0 if config.get("do_rescale") is False else config.get("rescale_factor", 1 / 255),
            mean=_by_channel(config["image_mean"] if normal else 0.0, channels),
            deviation=_by_channel(config["image_std"] if normal else 1.0, channels),
        )

    def prepare(self, pixels: Array) -> Array:
        """float32 [channels, height, width] of uint8 [height, width, 3]."""
        image = Image.fromarray(pixels).convert("L" if self.channels == 1 else "RGB")
        resized = np.atleast_3d(np.asarray(self._resize(image)))
        cropped = _crop_middle(resized, self.crop)
        scaled = (cropped.astype(np.float64) * self.factor - self.mean) / self.deviation
        return np.ascontiguousarray(scaled.transpose(2, 0, 1)).astype(np.float32)

    def _resize(self, image: Image.Image) -> Image.Image:
        if self.resize is None:
            return image
        if isinstance(self.resize, tuple):
            height, width = self.resize
        else:
            # The longer side is cut to an integer, as Hugging Face's get_resize_output_image_size does.
            longest = int(self.resize * max(image.size) / min(image.size))
            wide = image.width > image.height
            height, width = (self.resize, longest) if wide else (longest, self.resize)
        return image.resize((width, height), Image.Resampling(self.resample))


def _read_size(size: Any) -> tuple[int, int] | int:
    if isinstance(size, int):
        return size, size
    if isinstance(size, dict) and size.get("height") and size.get("width"):
        return int(size["height"]), int(size["width"])
    if isinstance(size, dict) and size.get("shortest_edge"):
        return int(size["shortest_edge"])
    raise Unsupported(f"size {size}", "height and width, or shortest_edge, are known")


def _by_channel(value: float | list[float], channels: int) -> Array:
    return np.broadcast_to(np.asarray(value, np.float64), (channels,))


def _crop_middle(pixels: Array, size: tuple[int, int]) -> Array:
    """The middle of the image in that size, black where the image is smaller."""
    rows, columns = _places(pixels.shape[:2], size)
    inside = pixels[np.clip(rows, 0, pixels.shape[0] - 1)][:, np.clip(columns, 0, pixels.shape[1] - 1)]
    return np.where(_outside(pixels.shape[:2], size)[..., None], 0, inside)


def _places(shape: tuple[int, ...], size: tuple[int, int]) -> tuple[Array, Array]:
    top, left = (shape[0] - size[0]) // 2, (shape[1] - size[1]) // 2
    return top + np.arange(size[0]), left + np.arange(size[1])


def _outside(shape: tuple[int, ...], size: tuple[int, int]) -> Array:
    rows, columns = _places(shape, size)
    outside: Array = ((rows < 0) | (rows >= shape[0]))[:, None] | ((columns < 0) | (columns >= shape[1]))[
        None
    ]
    return outside
