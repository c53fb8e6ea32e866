"""An encoded picture, or a PIL image -> uint8 [height, width, 3], upright and on white.

Only the formats named here are ever opened: Pillow knows forty more, EPS through Ghostscript among them.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from browser_runtime.contract.errors import BadInput, InferenceError, TooLarge
from tasks.inputs.encoded.reasons import reason_of
from tasks.inputs.images import ALLOWED, check_size
from tasks.inputs.limits import InputLimits
from tasks.inputs.notes import Note
from tasks.inputs.samples import ALLOWED_SAMPLES, WHITE_16, Samples, as_rgb, check_range

# Pillow's names. MPO is what many phones put into a .jpg; PPM stands for PBM, PGM, PNM and PFM as well.
PICTURE_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")
_OPENED_AS = tuple(name for name in PICTURE_FORMATS if name != "MPO")  # it is opened as JPEG
ALLOWED_FORMATS = "one of " + ", ".join(PICTURE_FORMATS)
# Pillow's modes that it can show in 8-bit RGB without guessing.
BYTE_MODES = frozenset(("1", "L", "P", "PA", "LA", "RGB", "RGBX", "RGBA", "RGBa", "CMYK", "YCbCr", "HSV"))
ORIENTATION = 0x0112  # the EXIF tag
_TURNS: dict[int, Callable[[Samples], Samples]] = {
    2: lambda samples: samples[:, ::-1],
    3: lambda samples: samples[::-1, ::-1],
    4: lambda samples: samples[::-1],
    5: lambda samples: samples.swapaxes(0, 1),
    6: lambda samples: np.rot90(samples, -1),
    7: lambda samples: samples[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}
# TIFF's tags, and what they mean where they do not say what Pillow takes for granted.
BITS, PHOTOMETRIC, PLANES, SAMPLE_FORMAT = 258, 262, 284, 339
WHITE_IS_ZERO, RGB, SEPARATE_PLANES, SIGNED = 0, 2, 2, 2


def read_encoded(data: bytes, limits: InputLimits, field: str, note: Note) -> Samples:
    """The picture in `data`. Raises BadInput, TooLarge."""
    with _decoding(limits, field), _open(data, field) as image:
        samples = _upright(image, _wide_colours(image, data, limits, field), limits, field, note)
        return as_rgb(samples, field)


def read_pil(image: Image.Image, limits: InputLimits, field: str, note: Note) -> Samples:
    """The picture that `image` holds or, where it is not loaded yet, will hold. Raises BadInput, TooLarge."""
    with _decoding(limits, field):
        if image.format not in (None, *PICTURE_FORMATS) and getattr(image, "tile", None):
            raise BadInput(field, f"a {image.format} file", ALLOWED_FORMATS)
        samples = _upright(image, None, limits, field, note)
        if image.format is None:
            check_range(samples, field)
        return as_rgb(samples, field)


@contextmanager
def _decoding(limits: InputLimits, field: str) -> Iterator[None]:
    """Turns any error of a decoder into one sentence: decoders do not list the errors that they raise."""
    try:
        yield
    except InferenceError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Pillow's own limit of pixels, a warning that may be made an error, and twice it, are past ours.
        raise TooLarge(field, f"over {3 * (Image.MAX_IMAGE_PIXELS or 0)}", limits.max_input_bytes) from error
    except Exception as error:
        raise BadInput(field, f"a picture that cannot be read ({reason_of(error)})", ALLOWED) from error


def _open(data: bytes, field: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=_OPENED_AS)
    except UnidentifiedImageError as error:
        problem = f"{len(data)} bytes that hold no picture, or one of a kind that Pillow does not read"
        raise BadInput(field, problem, ALLOWED_FORMATS) from error


def _upright(
    image: Image.Image, samples: Samples | None, limits: InputLimits, field: str, note: Note
) -> Samples:
    """[height, width, 1|3|4], turned as the orientation tag says; read from `image` unless given."""
    check_size(image.height, image.width, limits, field)
    if samples is None:
        _check_tags(_tags(image), field)
        raw = _raw_mode(image)
        image.load()
        samples = _few_bits_with_key(image, raw)
        if samples is None:
            samples = _samples(image, field)
    if getattr(image, "is_animated", False) and image.format != "MPO":
        note(f"{field} holds several frames; only number {image.tell() + 1} was used")
    turn = _TURNS.get(_orientation(image))
    return samples if turn is None else turn(samples)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 where there is none; as in browsers, unreadable EXIF does not count."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:
        return 1


def _samples(image: Image.Image, field: str) -> Samples:
    """[height, width, 1|3|4] of a loaded image: bytes, or whatever wider type it holds."""
    tags = _tags(image)
    if image.mode in BYTE_MODES:
        return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
    grey: Samples = np.asarray(image)[:, :, np.newaxis]
    if image.mode.startswith("I;16"):
        grey = _of_bits(grey, _first(tags.get(BITS, 16)))
    elif image.mode == "I":
        grey = _known_integers(image, grey, tags, field)
    elif image.mode != "F":
        raise BadInput(field, f"a picture of Pillow's mode {image.mode}", "RGB, grey or CMYK")
    if tags and tags.get(PHOTOMETRIC, WHITE_IS_ZERO) == WHITE_IS_ZERO:
        grey = (1 if grey.dtype.kind == "f" else np.iinfo(grey.dtype).max) - grey
    key = image.info.get("transparency")
    return grey if key is None else _with_key(np.repeat(grey, 3, axis=2), [key])


def _few_bits_with_key(image: Image.Image, raw: str) -> Samples | None:
    """[height, width, 4] of grey in 2 or 4 bits with one clear level, None for any other picture.

    Pillow spreads the samples over 0..255, and keeps the clear level as it stands in the file.
    """
    key = image.info.get("transparency")
    if raw not in ("L;2", "L;4") or not isinstance(key, int):
        return None
    white = 2 ** int(raw[2:]) - 1
    grey: Samples = np.asarray(image)[:, :, np.newaxis]
    return _with_key(np.repeat(grey, 3, axis=2), [(key & white) * (255 // white)])


def _tags(image: Image.Image) -> Any:
    """The tags of a TIFF; none of anything else."""
    return getattr(image, "tag_v2", None) or {}


def _check_tags(tags: Any, field: str) -> None:
    """Raises BadInput for a TIFF that Pillow would read wrongly, or whose white nobody knows."""
    if tags and _first(tags.get(SAMPLE_FORMAT, 1)) == SIGNED:
        raise BadInput(field, "a TIFF of signed integers", ALLOWED_SAMPLES)
    colours = tags.get(PHOTOMETRIC) == RGB and _first(tags.get(BITS, 1)) == 8
    if tags.get(PLANES) == SEPARATE_PLANES and not colours:
        raise BadInput(
            field, "a TIFF with separate planes that are not 8-bit RGB", "one whose samples alternate"
        )


def _known_integers(image: Image.Image, grey: Samples, tags: Any, field: str) -> Samples:
    """Unsigned samples of Pillow's 32-bit mode, where the file says what they were. Raises BadInput."""
    if image.format == "PPM":  # Pillow has stretched them to 16 bits
        return grey.astype(np.uint16)
    if tags:
        return grey.view(np.uint32)
    raise BadInput(field, "a PIL image of signed 32-bit integers (mode I)", ALLOWED_SAMPLES)


def _of_bits(grey: Samples, bits: int) -> Samples:
    """uint16 over all of its range, from samples of `bits` bits."""
    if bits == 16:
        return grey
    spread: Samples = np.rint(grey * (WHITE_16 / (2**bits - 1))).astype(np.uint16)
    return spread


def _first(value: Any) -> int:
    return int(value[0] if isinstance(value, tuple) else value)


def _wide_colours(image: Image.Image, data: bytes, limits: InputLimits, field: str) -> Samples | None:
    """uint16 [height, width, 3|4] of a file with 16-bit colours; None for any other.

    Pillow keeps their upper bytes. Read in the other byte order, it keeps the lower ones.
    """
    check_size(image.height, image.width, limits, field)
    raw = _raw_mode(image)
    colours, _, order = raw.partition(";16")
    if raw == "LA;16B":
        halves: Samples = np.asarray(_read_as(image, "RGBA")).astype(np.uint16)  # upper, lower, upper, lower
        two: Samples = halves[:, :, ::2] << 8 | halves[:, :, 1::2]
        return np.take(two, [0, 0, 0, 1], axis=2)
    if colours not in ("RGB", "RGBA", "RGBX") or order not in _OTHER_ORDER:
        return None
    with _open(data, field) as again:
        lower = np.asarray(_read_as(again, f"{colours};16{_OTHER_ORDER[order]}")).astype(np.uint16)
    samples: Samples = np.asarray(image).astype(np.uint16) << 8 | lower
    key = image.info.get("transparency")
    return samples if key is None else _with_key(samples, key)


_OTHER_ORDER = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}


def _raw_mode(image: Image.Image) -> str:
    """The layout of the file's samples, by Pillow's names; empty if the decoder has its own."""
    tiles = getattr(image, "tile", None)
    args = tiles[0].args if tiles else ""
    return str(args[0] if isinstance(args, tuple) and args else args)


def _read_as(image: Any, raw: str) -> Image.Image:
    """`image`, not loaded yet, which will be read as if its samples lay in the file as `raw`."""
    image.tile = [
        tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw)
        for tile in image.tile
    ]
    opened: Image.Image = image
    return opened


def _with_key(colours: Samples, key: Any) -> Samples:
    """RGBA: what has the colour `key` is clear."""
    white = np.iinfo(colours.dtype).max
    alpha = np.where((colours == np.asarray(key, colours.dtype)).all(axis=2, keepdims=True), 0, white)
    return np.concatenate([colours, alpha.astype(colours.dtype)], axis=2)
