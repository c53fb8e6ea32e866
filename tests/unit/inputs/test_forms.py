"""Every accepted form of inputs, and one clear sentence for every other."""

from __future__ import annotations

import io
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from browser_runtime.contract.errors import BadInput, TooLarge
from browser_runtime.contract.messages import Request
from browser_runtime.contract.options import options_of
from browser_runtime.contract.vocabulary import Family
from browser_runtime.families.sounds import read_sound
from tasks.arguments import build_request
from tasks.inputs import normalise
from tasks.inputs.arrival import check_batch, check_plain
from tasks.inputs.limits import InputLimits
from tasks.payloads.codec import Claim

LIMITS = InputLimits()
TEXT, VISION, AUDIO = Family.TEXT_EMBEDDING, Family.VISION, Family.AUDIO
PICTURE = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)


def png(pixels: np.ndarray[Any, Any] = PICTURE, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **options)
    return buffer.getvalue()


def wav(samples: Any, rate: int = 16_000, form: str = "WAV") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.asarray(samples), rate, format=form)
    return buffer.getvalue()


def request_of(family: Family, inputs: Any, single: bool = True) -> Request:
    return Request(family, "a-model", inputs, single=single)


def one(family: Family, value: Any, limits: InputLimits = LIMITS) -> Any:
    plain = normalise(family, value, limits)
    assert plain.single
    check_plain(request_of(family, plain.inputs), limits)
    return next(iter(plain.inputs.values()))[0]


# --- texts


def test_texts() -> None:
    assert one(TEXT, "hello") == one(TEXT, {"text": "hello"}) == "hello"
    assert one(TEXT, "") == one(TEXT, {"text": ""}) == ""  # a sound without words has this transcription
    plain = normalise(TEXT, ["a", {"text": "b"}, "", " \n"], LIMITS)
    assert plain.inputs == {"texts": ["a", "b", "", " \n"]} and not plain.single and not plain.synthetic


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("x" * 100_001, "a text of 100001 characters"),
        ("\ud800", "lone surrogate at 0"),
        (7, "of type int"),
        ([], "a list of 0 items"),
        (["a"] * 257, "a list of 257 items"),
        (PICTURE, "of type ndarray"),
        (None, "of type NoneType"),
    ],
)
def test_bad_texts(value: Any, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        normalise(TEXT, value, LIMITS)


# --- images


def test_an_image_may_come_in_many_forms(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png())
    forms = [png(), bytearray(png()), str(path), path, PICTURE, Image.fromarray(PICTURE), PICTURE / 255.0]
    forms += [
        np.moveaxis(PICTURE, 2, 0),
        {"image": PICTURE},
        {"image": str(path)},
        (PICTURE / 255).astype("f2"),
    ]
    for form in forms:
        np.testing.assert_array_equal(one(VISION, form), PICTURE)


def test_grey_transparent_and_turned_images() -> None:
    grey = PICTURE[:, :, 0]
    for form in (grey, grey[:, :, None], grey[None]):
        np.testing.assert_array_equal(one(VISION, form), np.repeat(grey[:, :, None], 3, 2))
    clear = np.zeros((2, 2, 4), np.uint8)
    assert (one(VISION, clear) == 255).all() and (one(VISION, png(clear)) == 255).all()
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    assert one(VISION, png(PICTURE, exif=exif)).shape == (7, 5, 3)


def test_batches_of_images() -> None:
    for batch in (
        [PICTURE] * 2,
        np.stack([PICTURE] * 2),
        {"image": [PICTURE] * 2},
        {"images": [PICTURE] * 2},
    ):
        plain = normalise(VISION, batch, LIMITS)
        assert len(plain.inputs["images"]) == 2 and not plain.single


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=9)))
def test_any_byte_array_is_an_image_or_is_refused(array: np.ndarray[Any, Any]) -> None:
    try:
        image = one(VISION, array)
    except BadInput as error:
        assert "shape" in str(error)
    else:
        assert image.dtype == np.uint8 and image.shape[2] == 3 and image.flags.c_contiguous


@given(st.binary(max_size=64))
def test_any_bytes_are_an_image_or_are_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        normalise(VISION, data, LIMITS)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("a sentence about a cat", "'a sentence about a cat', which is no readable file"),
        ("/no/such/cat.png", r"no readable file \(No such file or directory\)"),
        ("/dev/zero", "not a regular file"),
        ("a\0b", "no readable file"),
        ("https://example.org/cat.png", "addresses are not fetched"),
        (b"", r"empty \(0 bytes\)"),
        (b"GIF89a", "hold no picture"),
        (PICTURE.astype(np.int32), "made of int32 samples"),
        (PICTURE.astype(np.float32), "made of float32 samples from 0 to 104"),
        (np.full((2, 2), np.nan), "NaN"),
        (np.zeros((2, 2, 2), np.uint8), r"shape \[2, 2, 2\]"),
        (np.zeros((0, 5, 3), np.uint8), "an image of 5x0"),
        ([["nested"]], r"inputs\[0\] is of type list"),
        (3.5, "of type float"),
        ({"image": {"width": 0, "height": 2}}, r"inputs.width is 0"),
        ({"image": {"width": 2.5, "height": 2}}, "a whole number"),
        ({"picture": 1}, "of type dict"),
    ],
)
def test_bad_images(value: Any, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        normalise(VISION, value, LIMITS)


def test_claims_of_gigabytes_are_refused_unread(tmp_path: Path) -> None:
    sparse = tmp_path / "huge.png"
    with sparse.open("wb") as file:
        os.truncate(file.fileno(), 5_000_000_000)
    header = bytearray(png())
    header[16:24] = (10_000).to_bytes(4, "big") * 2  # the size in the PNG's header
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")
    claims: list[Any] = [sparse, np.broadcast_to(np.uint8(0), (40_000, 41_000, 3))]
    claims += [{"image": {"width": 50_000, "height": 40_000}}, bytes(header)]
    for claim in claims:
        with pytest.raises(TooLarge, match="bytes allowed"):
            normalise(VISION, claim, LIMITS)
    with pytest.raises(TooLarge, match="5000000000 bytes, more than the 67108864 bytes allowed"):
        normalise(VISION, sparse, LIMITS)


def test_a_decompression_bomb_is_refused() -> None:
    buffer = io.BytesIO()
    Image.new("1", (14_000, 14_000)).save(buffer, "PNG")  # 196 million pixels in a few kilobytes
    with pytest.raises(TooLarge):
        normalise(VISION, buffer.getvalue(), LIMITS)


# --- sounds


TONE = (0.5 * np.sin(np.arange(16_000) / 5)).astype(np.float32)


def test_a_sound_may_come_in_many_forms(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(TONE))
    forms: list[Any] = [wav(TONE), path, str(path), {"audio": path}, {"audio": TONE, "sampling_rate": 16_000}]
    forms += [{"array": TONE.astype(np.float64), "sampling_rate": 16_000}, wav(TONE, form="FLAC")]
    forms += [{"audio": (TONE * 32767).astype(np.int16), "sampling_rate": 16_000}]
    forms += [{"audio": {"array": np.stack([TONE, TONE]), "sampling_rate": 16_000.0}}]
    for form in forms:
        np.testing.assert_allclose(one(AUDIO, form), TONE, atol=1e-4)


def test_a_low_rate_is_raised_and_a_higher_one_kept_for_the_model_to_choose() -> None:
    time_s = np.arange(44_100) / 44_100
    kept = one(AUDIO, {"audio": np.sin(2 * np.pi * 440 * time_s), "sampling_rate": 44_100})
    assert kept["rate_hz"] == 44_100 and kept["audio"].shape == (44_100,)
    sound = read_sound(kept, 16_000, "inputs")
    assert sound.dtype == np.float32 and sound.shape == (16_000,)
    assert one(AUDIO, {"audio": TONE[:8000], "sampling_rate": 8000}).shape == (16_000,)
    expected = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    np.testing.assert_allclose(sound[500:-500], expected[500:-500], atol=1e-3)


def test_ogg_is_read() -> None:
    assert abs(one(AUDIO, wav(TONE, form="OGG")).size - 16_000) < 10


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (TONE, "an array with the sampling_rate None"),
        ({"audio": TONE, "sampling_rate": "fast"}, "sampling_rate 'fast'"),
        ({"audio": TONE, "sampling_rate": 7}, "sampled at 1000 to 384000"),
        ({"audio": TONE * np.nan, "sampling_rate": 16_000}, "NaN"),
        ({"audio": TONE * 100, "sampling_rate": 16_000}, "made of float32 samples up to 50"),
        ({"audio": TONE[:0], "sampling_rate": 16_000}, "without samples"),
        ({"audio": TONE.reshape(10, 10, 160), "sampling_rate": 16_000}, "shape"),
        ({"audio": TONE.astype(np.int64), "sampling_rate": 16_000}, "made of int64 samples"),
        (wav(np.zeros(8_000 * 601), 8_000), "a sound of 601.0 s"),
        ({"audio": {"duration": 1e9}}, "a sound of 1000000000.0 s"),
        ({"audio": {"duration": -1}}, "inputs.duration is -1"),
        ({"audio": {"duration": float("nan")}}, "inputs.duration is nan"),
        ({"audio": {"duration": "long"}}, "a number of seconds"),
        ({"song": 1}, "the keys"),
        (b"RIFF0000WAVE", "a broken WAV sound"),
        (b"GIF89a", "no known sound format"),
        ("transcribe this", "no readable file"),
        (12, "of type int"),
    ],
)
def test_bad_sounds(value: Any, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        normalise(AUDIO, value, LIMITS)


def test_a_float_wav_with_nan_is_refused() -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.full(100, np.nan), 16_000, format="WAV", subtype="FLOAT")
    with pytest.raises(BadInput, match="NaN"):
        normalise(AUDIO, buffer.getvalue(), LIMITS)


# --- shapes, replies, limits


def test_shapes_give_the_same_synthetic_input_every_time() -> None:
    picture, sound = {"image": {"width": 224, "height": 112}}, {"audio": {"duration": 5.0}}
    for family, shape, size in ((VISION, picture, (112, 224, 3)), (AUDIO, sound, (80_000,))):
        first, second = (normalise(family, shape, LIMITS) for _ in range(2))
        assert first.synthetic and first.single
        one_, other = (next(iter(plain.inputs.values()))[0] for plain in (first, second))
        assert one_.shape == size
        np.testing.assert_array_equal(one_, other)
        check_plain(request_of(family, first.inputs), LIMITS)
    assert normalise(VISION, [picture, PICTURE], LIMITS).synthetic


def test_the_reply_of_an_earlier_task_is_taken_for_its_output() -> None:
    reply = {"success": True, "output": {"text": "four"}}
    assert one(TEXT, reply) == "four"
    assert normalise(TEXT, [reply, reply], LIMITS).inputs["texts"] == ["four", "four"]


def test_another_tasks_result_names_no_files(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png())
    with pytest.raises(BadInput, match="a path that comes from another task"):
        normalise(VISION, str(path), LIMITS, allow_paths=False)


def test_the_total_is_limited_too() -> None:
    with pytest.raises(TooLarge, match="inputs holds 210 bytes, more than the 200"):
        normalise(VISION, [PICTURE, PICTURE], InputLimits(max_input_bytes=200))


@pytest.mark.parametrize(
    ("family", "inputs"),
    [
        *((VISION, inputs) for inputs in ({}, {"images": []}, {"images": ["x"]}, {"texts": ["x"]})),
        *((VISION, inputs) for inputs in ({"images": [PICTURE], "more": 1}, {"images": {"0": PICTURE}})),
        (VISION, {"images": [PICTURE[:, :, :2]]}),
        (VISION, {"images": [PICTURE.astype(np.float32)]}),
        (TEXT, {"texts": [{"text": "a"}]}),
        (TEXT, {"texts": [Claim(b"0" * 16, "uint8", (1,))]}),
        (AUDIO, {"sounds": [np.array([np.nan], np.float32)]}),
        (AUDIO, {"sounds": [np.array([1.5], np.float32)]}),
        (AUDIO, {"sounds": [np.zeros(0, np.float32)]}),
    ],
)
def test_arrival_refuses_what_no_producer_of_ours_sends(family: Family, inputs: Any) -> None:
    with pytest.raises(BadInput):
        check_plain(request_of(family, inputs), LIMITS)


def test_arrival_refuses_one_answer_for_two_items() -> None:
    inputs = {"images": [PICTURE] * 2}
    check_plain(request_of(VISION, inputs, single=False), LIMITS)
    with pytest.raises(BadInput, match="single is True for 2 items"):
        check_plain(request_of(VISION, inputs), LIMITS)


def test_arrays_beside_a_message_are_refused_before_they_are_fetched() -> None:
    claims = [Claim(bytes([n]) * 16, "uint8", (10_000, 10_000, 1)) for n in range(3)]
    with pytest.raises(TooLarge):
        check_batch(request_of(VISION, {"images": claims}, single=False), LIMITS)
    with pytest.raises(BadInput, match="a list of 300 items"):
        check_batch(request_of(VISION, {"images": claims * 100}, single=False), LIMITS)


def test_texts_have_a_total_too() -> None:
    rockets = ["\N{ROCKET}" * 100_000] * 85
    with pytest.raises(TooLarge, match="inputs holds 16800000 bytes, more than the 16777216 bytes allowed"):
        normalise(TEXT, rockets, LIMITS)
    with pytest.raises(TooLarge):
        check_batch(request_of(TEXT, {"texts": rockets}, single=False), LIMITS)


def test_reading_ends_where_the_total_is_passed() -> None:
    """A list of pictures that each fit is not unpacked to its end."""
    with pytest.raises(TooLarge, match="inputs holds 210 bytes"):
        normalise(VISION, [png(), png(), b"never looked at"], InputLimits(max_input_bytes=200))


def test_labels_have_a_total() -> None:
    limits = InputLimits(max_results=1999)
    inputs = {"images": [PICTURE] * 2}
    named = {"model_type": "vision", "model_name": "vit", "inputs": [PICTURE] * 2, "options": {"top_k": 1000}}
    with pytest.raises(BadInput, match=r"options\.top_k is 1000, but must be at most 999 for 2 items"):
        build_request(named, limits)
    with pytest.raises(BadInput, match=r"options\.top_k"):
        check_plain(Request(VISION, "vit", inputs, options={"top_k": 1000}, single=False), limits)
    assert InputLimits().max_results == InputLimits().max_items * options_of(Family.VISION)["top_k"].most
