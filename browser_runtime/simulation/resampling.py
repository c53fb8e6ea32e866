"""Images resized as Pillow resizes them, by regions: the twin of `page/families/images/resampling.js`.

Source: Pillow, src/libImaging/Resample.c (antialiased, 8 bits between the passes, width first as in every
Pillow before 13) and Geometry.c (nearest). Pillow itself does it where the whole result is small; but the
whole may be a million times what a model sees of it, and then the same arithmetic is done here for that part.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, islice, repeat

import numpy as np
from PIL import Image

from browser_runtime.simulation.graphs import Array

# Pillow's PRECISION_BITS: 32 less 8 for the pixel and 2 for overshoot.
PRECISION_BITS = 22
NEAREST = 0
# Pillow computes whole images of up to so many pixels: 0.1 s of work.
WHOLE_PIXELS = 1 << 24


@dataclass(frozen=True, slots=True)
class Region:
    """A part of an image, in its own pixels."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Window:
    """The source pixels of one target pixel: where they begin, and their fixed-point weights."""

    first: int
    weights: Array

    @property
    def end(self) -> int:
        """One behind the last."""
        return self.first + len(self.weights)


def resize(pixels: Array, height: int, width: int, resample: int, region: Region) -> Array:
    """`region` of the pixels [rows, columns, channels] at another size, by Pillow's filter of that number."""
    if height * width <= WHOLE_PIXELS:
        whole = _resize_whole(pixels, height, width, Image.Resampling(resample))
        return whole[region.top : region.top + region.height, region.left : region.left + region.width]
    return resize_region(pixels, height, width, resample, region)


def _resize_whole(pixels: Array, height: int, width: int, resample: Image.Resampling) -> Array:
    """One side at a time: Pillow 13 takes the height first for some sizes, which rounds otherwise."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    resized = image.resize((width, image.height), resample).resize((width, height), resample)
    return np.asarray(resized).reshape(height, width, pixels.shape[2])


def resize_region(pixels: Array, height: int, width: int, resample: int, region: Region) -> Array:
    """The result of `resize`, for images of any size."""
    if resample == NEAREST:
        rows = _nearest(pixels.shape[0], height, region.top, region.height)
        return pixels[rows][:, _nearest(pixels.shape[1], width, region.left, region.width)]
    rows_from = _plan_side(pixels.shape[0], height, region.top, region.height, resample)
    columns_from = _plan_side(pixels.shape[1], width, region.left, region.width, resample)
    top, bottom = min(window.first for window in rows_from), max(window.end for window in rows_from)
    needed = pixels[top:bottom]
    wide = np.stack([_blend(needed[:, one.first : one.end], one.weights, 1) for one in columns_from], axis=1)
    return np.stack([_blend(wide[one.first - top : one.end - top], one.weights, 0) for one in rows_from])


def _blend(pixels: Array, weights: Array, axis: int) -> Array:
    """The weighted sum along an axis, rounded and clipped as Pillow does."""
    # Never beyond 32 bits: 255 times the weights' sum, and the filters' overshoot, is below 2^31.
    sums = np.tensordot(pixels.astype(np.int32), weights, axes=(axis, 0)) + (1 << (PRECISION_BITS - 1))
    blended: Array = np.clip(sums >> PRECISION_BITS, 0, 255).astype(np.uint8)
    return blended


def _plan_side(source: int, target: int, start: int, count: int, resample: int) -> list[Window]:
    if source == target:
        return [Window(at, np.array([1 << PRECISION_BITS], np.int32)) for at in range(start, start + count)]
    support, weigh = FILTERS[resample]
    scale = source / target
    # Shrinking widens the filter, which is what antialiases.
    stretch = max(scale, 1.0)
    return [
        _plan_window((at + 0.5) * scale, stretch, support * stretch, source, weigh)
        for at in range(start, start + count)
    ]


def _plan_window(
    centre: float, stretch: float, support: float, source: int, weigh: Callable[[float], float]
) -> Window:
    first = max(int(centre - support + 0.5), 0)
    end = min(int(centre + support + 0.5), source)
    raw = [weigh((tap - centre + 0.5) / stretch) for tap in range(first, end)]
    scaled = np.array(raw) / math.fsum(raw) * (1 << PRECISION_BITS)
    return Window(first, np.trunc(scaled + np.where(scaled < 0, -0.5, 0.5)).astype(np.int32))


def _nearest(source: int, target: int, start: int, count: int) -> list[int]:
    """Source pixels by target pixel, their places summed up step by step as Pillow does."""
    if source == target:
        return list(range(start, start + count))
    step = source / target
    places = accumulate(repeat(step), initial=step * 0.5)
    return [int(place) for place in islice(places, start, start + count)]


def _triangle(x: float) -> float:
    return max(1 - abs(x), 0.0)


def _cubic(x: float) -> float:
    a, x = -0.5, abs(x)  # Pillow's a, which is Keys' choice too; OpenCV's is -0.75
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0


def _sinc(x: float) -> float:
    return 1.0 if x == 0 else math.sin(x * math.pi) / (x * math.pi)


def _lanczos(x: float) -> float:
    return _sinc(x) * _sinc(x / 3) if -3 <= x < 3 else 0.0


def _box(x: float) -> float:
    return 1.0 if -0.5 < x <= 0.5 else 0.0


def _hamming(x: float) -> float:
    return _sinc(x) * (0.54 + 0.46 * math.cos(abs(x) * math.pi)) if abs(x) < 1 else 0.0


# By Pillow's number: how far each reaches, and its weights.
FILTERS: dict[int, tuple[float, Callable[[float], float]]] = {
    1: (3.0, _lanczos),
    2: (1.0, _triangle),
    3: (2.0, _cubic),
    4: (0.5, _box),
    5: (1.0, _hamming),
}
