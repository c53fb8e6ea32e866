"""One image -> uint8 [height, width, 3]."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadInput
from tasks.inputs.beside_texts import with_texts
from tasks.inputs.encoded.files import encoded_bytes, plain_array
from tasks.inputs.limits import InputLimits
from tasks.inputs.notes import Note, ignore
from tasks.inputs.readers import ItemReader, bare_shape
from tasks.inputs.samples import ALLOWED_SAMPLES, Samples, as_rgb, check_range

ALLOWED = "an image: a path, encoded bytes, a PIL image or a NumPy array"
ALLOWED_ARRAY = "shaped [height, width], [height, width, 1|3|4] or [1|3|4, height, width]"
CHANNELS = (1, 3, 4)
# The page scales images to a few hundred pixels; this side is past every camera and every real picture.
MAX_SIDE = 32_768


def read_image(
    value: Any, limits: InputLimits, field: str, allow_paths: bool = True, note: Note = ignore
) -> Samples:
    """uint8 [height, width, 3], C-contiguous, from any accepted form. Raises BadInput, TooLarge."""
    if isinstance(value, dict) and "image" in value:
        for name in value:
            if name != "image":
                raise BadInput(field, f"holding {str(name)[:100]!r}", "made of image and text")
        value = value["image"]
    if isinstance(value, np.ndarray):
        return _from_array(plain_array(value, field), limits, field)
    if _is_pil(value):
        from tasks.inputs.encoded.picture_files import read_pil

        return read_pil(value, limits, field, note)
    data = encoded_bytes(value, limits, field, ALLOWED, allow_paths)
    if data is None:
        raise BadInput(field, f"of type {type(value).__name__}", ALLOWED)
    from tasks.inputs.encoded.picture_files import read_encoded

    return read_encoded(data, limits, field, note)


def check_size(height: int, width: int, limits: InputLimits, field: str) -> None:
    """Raises BadInput or TooLarge for an image of that many pixels, before it is unpacked."""
    limits.check_arrays(height * width * 3, field)
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise BadInput(field, f"an image of {width}x{height}", f"1 to {MAX_SIDE} pixels wide and high")


def _is_pil(value: object) -> bool:
    """True for a PIL image, without importing PIL for those who do not use it."""
    pil = sys.modules.get("PIL.Image")
    return pil is not None and isinstance(value, pil.Image)


def _from_array(array: Samples, limits: InputLimits, field: str) -> Samples:
    limits.check_arrays(array.nbytes, field)
    samples = _channels_last(array, field)
    check_size(samples.shape[0], samples.shape[1], limits, field)
    check_range(samples, field)
    return as_rgb(samples, field)


def _channels_last(array: Samples, field: str) -> Samples:
    """[height, width, channels]; the last axis decides where both could be the channels."""
    if array.ndim == 2:
        return array[:, :, np.newaxis]
    if array.ndim == 3 and array.shape[2] in CHANNELS:
        return array
    if array.ndim == 3 and array.shape[0] in CHANNELS:
        return np.moveaxis(array, 0, 2)
    raise BadInput(
        field, f"an array of shape {list(array.shape)}", f"{ALLOWED_ARRAY}, made of {ALLOWED_SAMPLES}"
    )


def check_image(item: object, limits: InputLimits, field: str) -> None:
    """Returns if `item` is a plain image. Raises BadInput, TooLarge."""
    if not (
        isinstance(item, np.ndarray) and item.dtype == np.uint8 and item.ndim == 3 and item.shape[2] == 3
    ):
        raise BadInput(field, "not a plain image", "a uint8 array [height, width, 3]")
    check_size(item.shape[0], item.shape[1], limits, field)


def synthesize_image(value: object, limits: InputLimits, field: str) -> Samples | None:
    """uint8 [height, width, 3] for `{"image": {"width": 224, "height": 224}}` or the inner dict; else None.

    A gradient with seeded noise, so that no two channels are alike. Raises BadInput, TooLarge.
    """
    shape = bare_shape(value, "image", {"width", "height"})
    if shape is None:
        return None
    height, width = (_whole(shape[key], f"{field}.{key}") for key in ("height", "width"))
    check_size(height, width, limits, field)
    noise = np.random.default_rng(0).integers(0, 128, (height, width, 3), dtype=np.uint8)
    ramp = np.linspace(0, 127, width, dtype=np.uint8)[np.newaxis, :, np.newaxis]
    return noise + ramp


def _whole(value: object, field: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadInput(field, repr(value), "a whole number from 1")
    return value


READER = with_texts(ItemReader(read_image, check_image, synthesize=synthesize_image), "image")
