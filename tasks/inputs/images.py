"""One image -> uint8 [height, width, 3]."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from browser_runtime.contract.errors import BadInput, TooLarge
from tasks.inputs.files import encoded_bytes
from tasks.inputs.limits import InputLimits

if TYPE_CHECKING:
    from PIL.Image import Image

ALLOWED = "an image: a path, encoded bytes, a PIL image or a NumPy array"
ALLOWED_ARRAY = (
    "uint8, or floats in 0..1, shaped [height, width], [height, width, 1|3|4] or [1|3|4, height, width]"
)
CHANNELS = (1, 3, 4)
# The page scales images to a few hundred pixels; this side is past every camera and every real picture.
MAX_SIDE = 32_768


def read_image(value: Any, limits: InputLimits, field: str, allow_paths: bool = True) -> np.ndarray[Any, Any]:
    """uint8 [height, width, 3], C-contiguous, from any accepted form. Raises BadInput, TooLarge."""
    if isinstance(value, dict) and "image" in value:
        value = value["image"]
    if isinstance(value, np.ndarray):
        return _from_array(value, limits, field)
    if _is_pil(value):
        return _from_pil(value, limits, field)
    data = encoded_bytes(value, limits, field, ALLOWED, allow_paths)
    if data is None:
        raise BadInput(field, f"of type {type(value).__name__}", ALLOWED)
    return _from_encoded(data, limits, field)


def check_size(height: int, width: int, limits: InputLimits, field: str) -> None:
    """Raises BadInput or TooLarge for an image of that many pixels, before it is unpacked."""
    limits.check_arrays(height * width * 3, field)
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise BadInput(field, f"an image of {width}x{height}", f"1 to {MAX_SIDE} pixels wide and high")


def _is_pil(value: Any) -> bool:
    """Whether `value` is a PIL image, without importing PIL for those who do not use it."""
    pil = sys.modules.get("PIL.Image")
    return pil is not None and isinstance(value, pil.Image)


def _from_encoded(data: bytes, limits: InputLimits, field: str) -> np.ndarray[Any, Any]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as image:
            return _from_pil(image, limits, field)
    except UnidentifiedImageError as error:
        raise BadInput(field, f"{len(data)} bytes of no known image format", ALLOWED) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Pillow's own limit of pixels, a warning that may be made an error, and twice it, are past ours.
        raise TooLarge(field, f"over {3 * (Image.MAX_IMAGE_PIXELS or 0)}", limits.max_input_bytes) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise BadInput(field, f"a broken image ({error})", ALLOWED) from error


def _from_pil(image: Image, limits: InputLimits, field: str) -> np.ndarray[Any, Any]:
    """Upright and on white: the orientation tag is obeyed, transparency shows a white ground."""
    from PIL import Image, ImageOps

    check_size(image.height, image.width, limits, field)
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        ground = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(ground, upright.convert("RGBA"))
    return np.ascontiguousarray(np.asarray(upright.convert("RGB"), dtype=np.uint8))


def _from_array(array: np.ndarray[Any, Any], limits: InputLimits, field: str) -> np.ndarray[Any, Any]:
    limits.check_arrays(array.nbytes, field)
    pixels = _channels_last(array, field)
    check_size(pixels.shape[0], pixels.shape[1], limits, field)
    pixels = _as_bytes(pixels, field)
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    elif pixels.shape[2] == 4:
        pixels = _on_white(pixels)
    return np.ascontiguousarray(pixels)


def _channels_last(array: np.ndarray[Any, Any], field: str) -> np.ndarray[Any, Any]:
    """[height, width, channels]; the last axis decides where both could be the channels."""
    if array.ndim == 2:
        return array[:, :, np.newaxis]
    if array.ndim == 3 and array.shape[2] in CHANNELS:
        return array
    if array.ndim == 3 and array.shape[0] in CHANNELS:
        return np.moveaxis(array, 0, 2)
    raise BadInput(field, f"an array of shape {list(array.shape)}", ALLOWED_ARRAY)


def _as_bytes(pixels: np.ndarray[Any, Any], field: str) -> np.ndarray[Any, Any]:
    if pixels.dtype == np.uint8:
        return pixels
    if not np.issubdtype(pixels.dtype, np.floating):
        raise BadInput(field, f"an array of {pixels.dtype}", ALLOWED_ARRAY)
    if not np.isfinite(pixels).all():
        raise BadInput(field, "an array with NaN or infinite values", ALLOWED_ARRAY)
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0 or high > 1:
        raise BadInput(field, f"a float array with values from {low:.4g} to {high:.4g}", ALLOWED_ARRAY)
    scaled: np.ndarray[Any, Any] = np.rint(pixels.astype(np.float32) * 255).astype(np.uint8)
    return scaled


def _on_white(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """RGB over a white ground, as for an image file with transparency."""
    alpha = pixels[:, :, 3:].astype(np.float32) / 255
    mixed: np.ndarray[Any, Any] = np.rint(pixels[:, :, :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return mixed
