"""Every depth of sample is shown right, or refused by name: files, PIL images and arrays by one rule."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image, ImageOps

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.vocabulary import Family
from browser_runtime.models.store import BUILTIN_FOLDER
from tasks.arguments import build_request
from tasks.inputs import normalise
from tasks.inputs.encoded.picture_files import PICTURE_FORMATS
from tasks.inputs.images import read_image
from tasks.inputs.limits import InputLimits
from tests.unit.inputs.pictures import Array, png, tiff

LIMITS = InputLimits()
DATA = Path(__file__).parents[2] / "data"
CHANCE = np.random.default_rng(7)


def read(value: Any) -> Array:
    return read_image(value, LIMITS, "inputs")


def expected(samples: Array, white: float) -> Array:
    """By arithmetic: each sample over white, to the nearest byte; grey thrice, colours over white."""
    pixels = np.rint(samples.astype(np.float64) / white * 255)
    channels = pixels.shape[2]
    colours = np.repeat(pixels[:, :, :1], 3, axis=2) if channels <= 2 else pixels[:, :, :3]
    if channels in (2, 4):
        alpha = pixels[:, :, -1:] / 255
        colours = np.rint(colours * alpha + 255 * (1 - alpha))
    return colours.astype(np.uint8)


def chance(kind: str, channels: int) -> Array:
    if kind[0] == "f":
        return CHANCE.random((5, 7, channels)).astype(kind)
    return CHANCE.integers(0, np.iinfo(kind).max, (5, 7, channels), dtype=kind, endpoint=True)


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def seven(pixels: Array) -> tuple[int, float]:
    """Label and score by the built-in model in Python's onnxruntime, resized by Pillow."""
    session = onnxruntime.InferenceSession(BUILTIN_FOLDER / "digits-vit" / "onnx" / "model.onnx")
    small = np.asarray(Image.fromarray(pixels).resize((32, 32), Image.Resampling.BILINEAR))
    planes = ((small / 255 - 0.5) / 0.5).astype(np.float32).transpose(2, 0, 1)[np.newaxis]
    logits = np.asarray(session.run(None, {"pixel_values": planes})[0])[0]
    scores = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    return int(scores.argmax()), float(scores.max())


def test_a_16_bit_seven_is_a_seven() -> None:
    wide = np.asarray(Image.open(DATA / "digit7-16bit.png"))
    twin = np.repeat(np.rint(wide / 257).astype(np.uint8)[:, :, np.newaxis], 3, axis=2)
    for form in (DATA / "digit7-16bit.png", wide, Image.open(DATA / "digit7-16bit.png"), wide / 65_535):
        np.testing.assert_array_equal(read(form), twin)
    assert seven(read(DATA / "digit7-16bit.png")) == (7, pytest.approx(0.95, abs=0.005))


def test_a_16_bit_seven_with_a_clear_colour_is_read_as_its_8_bit_twin() -> None:
    wide = np.asarray(Image.open(DATA / "digit7-16trns.png"))
    twin = encoded(Image.fromarray(np.rint(wide / 257).astype(np.uint8)), "PNG", transparency=0)
    # Below half a byte both are the same black, which only the file of 16 bits can tell from the clear one.
    assert not ((wide > 0) & (wide < 129)).any()
    np.testing.assert_array_equal(read(DATA / "digit7-16trns.png"), read(twin))
    assert seven(read(DATA / "digit7-16trns.png"))[0] == 7


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "f2", "f4", "f8", "?"])
def test_arrays_of_every_type(kind: str, channels: int) -> None:
    samples = chance("u1", channels) > 127 if kind == "?" else chance(kind, channels)
    white = 1 if kind[0] in "f?" else np.iinfo(kind).max
    np.testing.assert_array_equal(read(samples), expected(samples, white))
    np.testing.assert_array_equal(
        read(samples.astype(samples.dtype.newbyteorder(">"))), expected(samples, white)
    )


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_png_of_16_bits(colour: int, channels: int) -> None:
    samples = chance("u2", channels)
    np.testing.assert_array_equal(read(png(samples, colour)), expected(samples, 65_535))
    if colour in (0, 2):
        clear = expected(samples, 65_535)
        clear[2, 3] = 255
        np.testing.assert_array_equal(read(png(samples, colour, samples[2, 3])), clear)


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "f2", "f4", "f8"])
def test_tiff_is_right_or_refused(kind: str) -> None:
    n_right = 0
    for channels, separate, order, is_inverted in product((1, 3, 4), (False, True), "<>", (False, True)):
        samples = chance(kind, channels)
        meaning = (0 if is_inverted else 1) if channels == 1 else 2
        extra = 2 if channels == 4 else None
        try:
            shown = read(tiff(samples, meaning, order=order, separate=separate, extra=extra))
        except BadInput as error:
            assert "TIFF" in str(error)
        else:
            n_right += 1
            right = expected(samples, 1 if kind[0] == "f" else np.iinfo(kind).max)
            np.testing.assert_array_equal(shown, 255 - right if is_inverted and channels == 1 else right)
    assert n_right == {"u1": 20, "u2": 11, "u4": 1, "f4": 4}.get(kind, 0)


def test_tiff_of_12_bits() -> None:
    samples = CHANCE.integers(0, 4096, (2, 4, 1), dtype=np.uint16)
    pairs = samples.reshape(-1, 2).astype(int)
    raw = bytes(byte for a, b in pairs for byte in (a >> 4, (a & 15) << 4 | b >> 8, b & 255))
    np.testing.assert_array_equal(read(tiff(samples, bits=12, raw=raw)), expected(samples, 4095))


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_a_file_and_its_array_give_the_same(form: str) -> None:
    samples = chance("u2", 1)
    options = {"irreversible": False} if form == "JPEG2000" else {}
    data = encoded(Image.fromarray(samples[:, :, 0]), form, **options)
    np.testing.assert_array_equal(read(data), read(samples))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_tiff_of_16_bits(compression: str) -> None:
    samples = chance("u2", 1)
    data = encoded(Image.fromarray(samples[:, :, 0]), "TIFF", compression=compression)
    np.testing.assert_array_equal(read(data), expected(samples, 65_535))


def test_a_float_picture_in_a_file() -> None:
    samples = chance("f4", 1)
    for form in ("TIFF", "PPM"):  # the second writes PFM
        data = encoded(Image.fromarray(samples[:, :, 0]), form)
        np.testing.assert_array_equal(read(data), expected(samples, 1))
    with pytest.raises(BadInput, match="made of float32 samples from 0 to 255"):
        read(encoded(Image.fromarray(np.float32([[0, 255]])), "TIFF"))


CLEAR = Image.fromarray(np.uint8([[[255, 0, 0, 0], [0, 0, 255, 255]]]))  # clear red, blue


@pytest.mark.parametrize(
    "image",
    [
        CLEAR,
        CLEAR.convert("RGBa"),
        CLEAR.quantize(4),
        CLEAR.convert("PA"),
    ],
    ids=["RGBA", "RGBa", "P", "PA"],
)
def test_what_is_clear_shows_white(image: Image.Image) -> None:
    np.testing.assert_array_equal(read(image), [[[255, 255, 255], [0, 0, 255]]])


def test_clear_greys_and_bits() -> None:
    grey = Image.fromarray(np.uint8([[0, 90]]))
    np.testing.assert_array_equal(read(encoded(grey, "PNG", transparency=0))[0, :, 0], [255, 90])
    np.testing.assert_array_equal(
        read(encoded(grey.convert("1"), "PNG", transparency=0))[0, :, 0], [255, 255]
    )
    grey.putalpha(Image.fromarray(np.uint8([[255, 0]])))
    np.testing.assert_array_equal(read(grey)[0, :, 0], [0, 255])


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_clear_grey_level_of_any_depth(bits: int) -> None:
    """By PNG's specification the clear level is in the samples' own scale, which Pillow forgets."""
    white = 2**bits - 1
    levels = (CHANCE.random((4, 9, 1)) * (white + 1)).astype(np.uint16)
    data = png(levels, 0, transparent=levels[1, 2], bits=bits)
    alpha = np.where(levels == levels[1, 2], 0, white)
    np.testing.assert_array_equal(read(data), expected(np.concatenate([levels, alpha], axis=2), white))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV"])
def test_other_modes_are_shown_as_pillow_shows_them(mode: str) -> None:
    image = Image.fromarray(chance("u1", 3)).convert(mode)
    np.testing.assert_array_equal(read(image), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_obeyed(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for kind in ("u1", "u2"):
        image = Image.fromarray(chance(kind, 1)[:, :, 0])
        data = encoded(image, "PNG", exif=exif)
        right = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        white = np.iinfo(kind).max
        np.testing.assert_array_equal(read(data), expected(np.asarray(right)[:, :, np.newaxis], white))


def test_exif_that_pillow_cannot_write_again_is_obeyed() -> None:
    with Image.open(DATA / "exif-srational.jpg") as image:
        assert image.getexif()[0x0112] == 6
        right = np.asarray(image.transpose(Image.Transpose.ROTATE_270))
    np.testing.assert_array_equal(read(DATA / "exif-srational.jpg"), right)


def closed() -> Image.Image:
    image = Image.open(DATA / "digit7-16bit.png")
    image.close()
    return image


def cut() -> bytes:
    return (DATA / "exif-srational.jpg").read_bytes()[:1000]


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (closed, "a picture that cannot be read"),
        (cut, "truncated"),
        (lambda: Image.open(io.BytesIO(cut())), "truncated"),
        (lambda: EPS, "hold no picture, or one of a kind"),
        (lambda: Image.open(io.BytesIO(EPS)), "is a EPS file, but must be one of AVIF"),
        (lambda: Image.new("LAB", (2, 2)), "Pillow's mode LAB"),
        (lambda: Image.fromarray(np.int32([[0, 255]])), "signed 32-bit integers"),
        (lambda: Image.fromarray(np.uint16([[0, 255]])), "made of uint16 samples up to 255"),
        (
            lambda: np.uint16([[0, 255]]),
            "made of uint16 samples up to 255, but must be uint8, or up to 65535",
        ),
        (lambda: np.int16([[0, 255]]), "made of int16 samples"),
        (lambda: np.uint64([[0, 255]]), "made of uint64 samples"),
        (lambda: np.ma.masked_greater(np.uint8([[0, 255]]), 9), "a masked array"),
        (lambda: np.complex64([[0, 255]]), "made of complex64 samples"),
        (lambda: np.float32([[-0.1, 1]]), "from -0.1 to 1"),
        (lambda: np.array([["a"]]), "made of <U1 samples"),
    ],
)
def test_refused_in_one_sentence(make: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence) as refused:
        read(make())
    assert str(refused.value).startswith("inputs is ") and "\n" not in str(refused.value)


def test_floats_may_overshoot_by_less_than_they_are_rounded() -> None:
    np.testing.assert_array_equal(read(np.float32([[1.0000001, -1e-7]]))[0, :, 0], [255, 0])


@pytest.mark.parametrize("form", [form for form in PICTURE_FORMATS if form not in ("MPO", "PPM")])
def test_every_damage_is_one_sentence(form: str) -> None:
    """Cut and flipped bytes: a picture, or a refusal that names the field; nothing of Pillow's own."""
    whole = bytearray(encoded(Image.fromarray(chance("u1", 3)).resize((40, 40)), form))
    for _ in range(60):
        data = bytearray(whole)
        data[CHANCE.integers(len(data))] ^= 1 << CHANCE.integers(8)
        try:
            read(bytes(data[: CHANCE.integers(1, len(data) + 1)]))
        except BadInput as error:
            assert error.args[0] == "inputs"


@pytest.mark.parametrize("form", ["GIF", "TIFF", "PNG", "WEBP"])
def test_frames_that_are_left_out_are_told(form: str) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:])
    plain = normalise(Family.VISION, [data, encoded(frames[0], form)], LIMITS)
    assert plain.notes == ("inputs[0] holds several frames; only number 1 was used",)
    assert plain.inputs["images"][0][0, 0].argmax() == 0
    named = {"model_type": "vision", "model_name": "digits-vit", "inputs": [data]}
    assert build_request(named, LIMITS).notes == ("inputs[0] holds several frames; only number 1 was used",)
