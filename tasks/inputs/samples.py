"""Samples of a picture, of any type -> bytes: the one rule for arrays and for files.

Unsigned integers reach from black to white over all of their type, as PNG and TIFF define it; floats do so
from 0 to 1; booleans are black and white. What is black of signed integers nobody knows: they are refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadInput

Samples = np.ndarray[Any, Any]
ALLOWED_SAMPLES = "bool, uint8, uint16, uint32 over all of their range, or floats in 0..1"
WHITE_16 = 65_535
# What rounds to a byte is within 0..1: arithmetic in floats overshoots a little.
_HALF_STEP = 0.5 / 255


def as_rgb(samples: Samples, field: str) -> Samples:
    """uint8 [height, width, 3], C-contiguous, from [height, width, 1|3|4]: grey, RGB or RGBA, on white.

    Raises BadInput.
    """
    pixels = as_bytes(samples, field)
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    elif pixels.shape[2] == 4:
        pixels = _on_white(pixels)
    return np.ascontiguousarray(pixels)


def as_bytes(samples: Samples, field: str) -> Samples:
    """uint8 of the same shape. Raises BadInput naming the type or the values that cannot be a picture's."""
    kind = samples.dtype
    if kind == np.uint8:
        return samples
    if kind == np.bool_:
        return samples.astype(np.uint8) * 255
    if kind.kind == "u" and kind.itemsize == 2:
        # A table: no copy of the picture in floats.
        rounded: Samples = np.rint(np.arange(WHITE_16 + 1) / 257).astype(np.uint8)[samples]
        return rounded
    if kind.kind == "u" and kind.itemsize == 4:
        return np.rint(samples / (np.iinfo(np.uint32).max / 255)).astype(np.uint8)
    if kind.kind == "f":
        return _from_floats(samples, field)
    raise BadInput(field, f"made of {kind} samples", ALLOWED_SAMPLES)


def check_range(samples: Samples, field: str) -> None:
    """Raises BadInput for bytes kept in a wider type, which nothing but their size tells from a dark picture.

    Of a file that is no question: its format says what is white.
    """
    if samples.dtype.kind == "u" and samples.dtype.itemsize > 1 and samples.size:
        highest, white = int(samples.max()), int(np.iinfo(samples.dtype).max)
        if 0 < highest <= 255:
            raise BadInput(
                field,
                f"made of {samples.dtype} samples up to {highest}",
                f"uint8, or up to {white} for white",
            )


def _from_floats(samples: Samples, field: str) -> Samples:
    if not np.isfinite(samples).all():
        raise BadInput(field, "made of samples with NaN or infinite values", ALLOWED_SAMPLES)
    low, high = (float(samples.min()), float(samples.max())) if samples.size else (0.0, 0.0)
    if low < -_HALF_STEP or high > 1 + _HALF_STEP:
        raise BadInput(
            field, f"made of {samples.dtype} samples from {low:.4g} to {high:.4g}", ALLOWED_SAMPLES
        )
    scaled: Samples = np.rint(np.clip(samples.astype(np.float32), 0, 1) * 255).astype(np.uint8)
    return scaled


def _on_white(pixels: Samples) -> Samples:
    """RGB over a white ground."""
    alpha = pixels[:, :, 3:].astype(np.float32) / 255
    mixed: Samples = np.rint(pixels[:, :, :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return mixed
