"""Every encoding of a sound is decoded whole, in blocks and by one scale, or refused in one sentence."""

from __future__ import annotations

import io
import re
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.vocabulary import Family
from browser_runtime.families.sounds import read_sound as read_plain
from tasks.inputs import normalise
from tasks.inputs.encoded.sound_files import SOUND_FORMATS
from tasks.inputs.limits import InputLimits
from tasks.inputs.mixing import BLOCK_FRAMES
from tasks.inputs.sounds import check_sound, read_sound

LIMITS = InputLimits()
DATA = Path(__file__).parents[2] / "data"
CHANCE = np.random.default_rng(11)
NOISE = (0.3 * CHANCE.standard_normal(80_000)).clip(-1, 1).astype(np.float32)

Sound = np.ndarray[Any, Any]


def read(value: Any) -> Sound:
    return read_sound(value, LIMITS, "inputs")


def encoded(samples: Sound, form: str = "WAV", rate: int = 16_000, **options: Any) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=form, **options)
    return buffer.getvalue()


def as_soundfile_has_it(data: bytes) -> Sound:
    with soundfile.SoundFile(io.BytesIO(data)) as sound:
        samples: Sound = sound.read(sound.frames, dtype="float32")
    return samples


@pytest.mark.parametrize("form", SOUND_FORMATS)
def test_every_format_is_decoded(form: str) -> None:
    data = encoded(NOISE, form)
    np.testing.assert_array_equal(read(data), as_soundfile_has_it(data).clip(-1, 1))


@pytest.mark.parametrize(
    ("subtype", "step"),
    [
        *(("PCM_U8", 1 / 128), ("PCM_16", 2**-15), ("PCM_24", 2**-23), ("PCM_32", 2**-24)),
        *(("FLOAT", 0), ("DOUBLE", 0), ("ULAW", 0.02), ("ALAW", 0.02)),
    ],
)
def test_every_depth_keeps_its_scale(subtype: str, step: float) -> None:
    np.testing.assert_allclose(read(encoded(NOISE, subtype=subtype)), NOISE, rtol=0, atol=step)


def test_gsm_which_cannot_be_sought_in() -> None:
    sound = read(DATA / "s-GSM610.wav")
    assert sound.shape == (16_000,) and 0.1 < np.abs(sound).max() < 1


@pytest.mark.parametrize(
    ("kind", "full", "middle"),
    [("i1", 127, 0), ("i2", 2**15 - 1, 0), ("i4", 2**31 - 1, 0), ("u1", 127, 128)]
    + [(kind, 1, 0) for kind in ("f2", "f4", "f8")],
)
def test_arrays_keep_their_scale(kind: str, full: int, middle: int) -> None:
    samples = (NOISE.astype(np.float64) * full + middle).astype(kind)
    sound = read({"audio": samples, "sampling_rate": 16_000})
    swapped = samples.astype(samples.dtype.newbyteorder(">"))
    np.testing.assert_array_equal(read({"audio": swapped, "sampling_rate": 16_000}), sound)
    np.testing.assert_allclose(sound, NOISE, rtol=0, atol=2e-3 if kind == "f2" else 2.1 / max(full, 127))


@pytest.mark.parametrize("as_file", [True, False])
def test_floats_in_the_scale_of_integers_are_refused(as_file: bool) -> None:
    loud = (NOISE * 32_767).astype(np.float32)
    value = encoded(loud, subtype="FLOAT") if as_file else {"audio": loud, "sampling_rate": 16_000}
    with pytest.raises(BadInput, match=r"made of float32 samples up to 3\.2"):
        read(value)


def test_a_lossy_sound_that_overshoots_is_clipped() -> None:
    data = encoded((NOISE * 8).clip(-1, 1), "OGG")
    assert np.abs(as_soundfile_has_it(data)).max() > 1.05
    assert np.abs(read(data)).max() == 1


def test_16_bit_samples_in_32_bits_are_refused() -> None:
    samples = (NOISE * 32_767).astype(np.int32)
    with pytest.raises(BadInput, match="made of int32 samples up to 32"):
        read({"audio": samples, "sampling_rate": 16_000})
    assert not read({"audio": np.zeros(10, np.int32), "sampling_rate": 16_000}).any()


def at_16_khz(sound: Any) -> Sound:
    return read_plain(sound, 16_000, "inputs")


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000])
def test_a_rate_that_some_model_hears_is_kept_and_a_whisper_gets_its_own(rate: int) -> None:
    stereo = np.random.default_rng(rate).uniform(-1, 1, (rate, 2)).astype(np.float32)
    mono = stereo.mean(axis=1, dtype=np.float32)
    for sound in (
        read({"audio": stereo, "sampling_rate": rate}),
        read(encoded(stereo, rate=rate, subtype="FLOAT")),
    ):
        assert sound["rate_hz"] == rate
        np.testing.assert_array_equal(sound["audio"], mono)
        check_sound(sound, LIMITS, "inputs")
        whole = soxr.resample(mono, rate, 16_000, quality="HQ").clip(-1, 1)
        np.testing.assert_array_equal(at_16_khz(sound), whole)


@pytest.mark.parametrize(
    "item",
    [
        {"audio": NOISE, "rate_hz": 16_000},
        {"audio": NOISE, "rate_hz": 48_001},
        {"audio": NOISE, "rate_hz": True},
        {"audio": NOISE, "rate_hz": "48000"},
        {"audio": NOISE},
        {"audio": [0.0], "rate_hz": 48_000},
        {"audio": NOISE * 9, "rate_hz": 48_000},
        {"audio": {"audio": NOISE, "rate_hz": 48_000}, "rate_hz": 48_000},
    ],
)
def test_a_hand_made_sound_is_checked_where_it_arrives(item: Any) -> None:
    with pytest.raises(BadInput):
        check_sound(item, LIMITS, "inputs")


@pytest.mark.parametrize(("rate", "kept"), [(8_000, 16_000), (96_000, 48_000), (384_000, 48_000)])
def test_blocks_are_resampled_as_the_whole_is(rate: int, kept: int) -> None:
    stereo = (CHANCE.uniform(-1, 1, (3 * BLOCK_FRAMES + 17, 2))).astype(np.float32)
    whole = soxr.resample(stereo.mean(axis=1, dtype=np.float32), rate, kept, quality="HQ").clip(-1, 1)
    for value in ({"audio": stereo, "sampling_rate": rate}, encoded(stereo, rate=rate, subtype="FLOAT")):
        sound = read(value)
        np.testing.assert_array_equal(sound["audio"] if kept > 16_000 else sound, whole)


def test_memory_is_the_outputs() -> None:
    """Eight channels at 384 kHz: 64 times its mono sound at 48 kHz, 246 MB as floats."""
    rate, channels, seconds = 384_000, 8, 20
    data = encoded(np.zeros((rate * seconds, channels), np.int16), "FLAC", rate)
    tracemalloc.start()
    try:
        sound = read(data)["audio"]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sound.shape == (48_000 * seconds,)
    assert peak < 4 * sound.nbytes + 4 * BLOCK_FRAMES * channels * 4


# --- cut short, or claiming more than there is


def with_claim(claim: int) -> bytes:
    data = bytearray(encoded(NOISE[:500]))
    struct.pack_into("<I", data, data.index(b"data") + 4, claim)
    return bytes(data)


@pytest.mark.parametrize("claim", [4_000_000_000, 1002])
def test_a_header_that_claims_more_is_refused(claim: int) -> None:
    with pytest.raises(BadInput, match=f"cut short: 1000 bytes of sound, where its header claims {claim}"):
        read(with_claim(claim))


def test_a_stream_that_could_not_know_its_length_is_told() -> None:
    streams = [with_claim(0xFFFF_FFFF), encoded(NOISE, "OGG")[:-200]]
    plain = normalise(Family.AUDIO, streams, LIMITS)
    assert plain.notes == tuple(
        f"inputs[{index}] is a stream that does not tell where it ends; all there is was used"
        for index in (0, 1)
    )
    assert plain.inputs["sounds"][0].shape == (500,)


def test_a_flac_without_a_length_is_read() -> None:
    data = bytearray(encoded(NOISE, "FLAC"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    np.testing.assert_array_equal(read(bytes(data)), as_soundfile_has_it(encoded(NOISE, "FLAC")))


@pytest.mark.parametrize("form", ["AIFF", "AU", "FLAC", "MP3", "WAV"])
def test_half_a_file_is_refused(form: str) -> None:
    data = encoded(NOISE, form)
    with pytest.raises(BadInput, match=rf"cut short|a broken {form} sound"):
        read(data[: len(data) // 2])


def test_an_ogg_that_was_cut_is_broken_not_unknown() -> None:
    with pytest.raises(BadInput, match=r"a broken OGG sound \(Supported file format but file is malformed\)"):
        read(DATA / "cut.ogg")


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2)])
def test_an_mp3_that_does_not_tell_its_length_is_read_to_its_end(rate: int, channels: int) -> None:
    """The decoder guesses the length from the first frames, which are small here."""
    sound = np.concatenate([np.zeros(2 * rate), (0.3 * CHANCE.standard_normal(3 * rate)).clip(-1, 1)])
    data = encoded(np.repeat(sound[:, np.newaxis], channels, axis=1), "MP3", rate)
    first = next(match.start() for match in re.finditer(rb"\xff[\xf3\xfb\xf2\xfa]", data[1:])) + 1
    untold = b"ID3\4\0\0" + struct.pack(">I", 64) + bytes(64) + data[first:]
    assert len(at_16_khz(read(untold))) == pytest.approx(5 * 16_000, abs=3000)


def id3(size: int, flags: int = 0) -> bytes:
    """A tag of that many bytes, with its footer if the flags say so."""
    seven_bits = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    return (
        b"ID3\4\0" + bytes([flags]) + seven_bits + bytes(size) + b"3DI" * bool(flags) + bytes(7 * bool(flags))
    )


@pytest.mark.parametrize("form", SOUND_FORMATS)
@pytest.mark.parametrize(
    "tags", [id3(70_000), id3(10) + id3(300), id3(5, flags=0x10)], ids=["large", "two", "footer"]
)
def test_tags_before_a_sound_take_nothing_of_it(form: str, tags: bytes) -> None:
    data = encoded(NOISE, form)
    np.testing.assert_array_equal(at_16_khz(read(tags + data)), at_16_khz(read(data)))


def test_filling_behind_tags_is_skipped() -> None:
    data = encoded(NOISE, "MP3")
    np.testing.assert_array_equal(at_16_khz(read(id3(10) + bytes(500) + data)), at_16_khz(read(data)))


@pytest.mark.parametrize("form", ["CAF", "W64"])
def test_no_other_format_is_opened_behind_tags(form: str) -> None:
    with pytest.raises(BadInput, match="bytes of no known sound format"):
        read(id3(10) + encoded(NOISE, form))


@pytest.mark.parametrize("form", SOUND_FORMATS)
def test_every_damage_is_one_sentence(form: str) -> None:
    """Cut and flipped bytes: a sound, or a refusal that names the field; nothing of the decoder's own."""
    whole = encoded(NOISE[:4000], form)
    for _ in range(60):
        data = bytearray(whole)
        data[CHANCE.integers(min(len(data), 200))] ^= 1 << CHANCE.integers(8)
        try:
            sound = read(bytes(data[: CHANCE.integers(1, len(data) + 1)]))
        except BadInput as error:
            assert error.args[0] == "inputs" and "\n" not in str(error)
        else:
            assert np.isfinite(sound).all()


@pytest.mark.parametrize("form", ["CAF", "W64", "VOC", "SVX"])
def test_other_formats_are_not_opened(form: str) -> None:
    with pytest.raises(
        BadInput, match="no known sound format, but must be a whole sound in one of AIFF, AU, FLAC"
    ):
        read(encoded(NOISE, form))


def nested(depth: int) -> Any:
    value: Any = {"array": NOISE, "sampling_rate": 16_000}
    for _ in range(depth):
        value = {"audio": value}
    return value


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"audio": NOISE, "sampling_rate": 10**400}, "a number of 1329 bits"),
        ({"audio": NOISE, "sampling_rate": float("nan")}, "sampling_rate nan"),
        (
            {"audio": NOISE.astype(np.float64) * 1e300, "sampling_rate": 16_000},
            "made of float64 samples up to",
        ),
        ({"audio": np.ma.masked_greater(NOISE, 0), "sampling_rate": 16_000}, "a masked array"),
        (nested(5000), "of type dict"),
    ],
)
def test_odd_arrays_are_refused_in_one_sentence(value: Any, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        read(value)
    np.testing.assert_array_equal(read(nested(2)), NOISE)
