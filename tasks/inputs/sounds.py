"""One sound -> float32 [samples], mono, within -1..1, at 16 kHz or with its own higher rate beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.vocabulary import shown
from tasks.inputs.beside_texts import with_texts
from tasks.inputs.encoded.files import encoded_bytes, plain_array
from tasks.inputs.limits import InputLimits
from tasks.inputs.mixing import (
    BLOCK_FRAMES,
    HIGHEST_RATE,
    MAX_CHANNELS,
    SAMPLING_RATE,
    PlainSound,
    Sound,
    as_floats,
    check_form,
    mix,
)
from tasks.inputs.notes import Note, ignore
from tasks.inputs.readers import ItemReader, bare_shape

ALLOWED = 'a sound: a path or bytes, or {"audio": array, "sampling_rate": hertz}'
# A pipeline's output in a data set's row in a user's dict.
MAX_WRAPPED = 3
ALLOWED_SHAPE = "an array shaped [samples] or [samples, channels], of at most 8 channels"


def read_sound(
    value: object, limits: InputLimits, field: str, allow_paths: bool = True, note: Note = ignore
) -> PlainSound:
    """The plain sound in any accepted form. Raises BadInput, TooLarge."""
    rate = None
    if isinstance(value, dict):
        value, rate = _opened(value, field)
    if isinstance(value, np.ndarray):
        return _from_array(plain_array(value, field), rate, limits, field)
    data = encoded_bytes(value, limits, field, ALLOWED, allow_paths)
    if data is None:
        raise BadInput(field, f"of type {type(value).__name__}", ALLOWED)
    from tasks.inputs.encoded.sound_files import read_encoded

    return read_encoded(data, limits, field, note)


def _opened(value: Mapping[str, Any], field: str, depth: int = 0) -> tuple[Any, Any]:
    """The sound and sampling rate of `{"audio"|"array"|"raw": ..., "sampling_rate": ...}`."""
    for key in ("audio", "array", "raw"):
        if key in value:
            inner = value[key]
            if isinstance(inner, dict) and depth < MAX_WRAPPED:
                return _opened(inner, field, depth + 1)
            return inner, value.get("sampling_rate")
    raise BadInput(field, f"a dict with the keys {sorted(map(str, value))}", ALLOWED)


def _from_array(array: Sound, rate: Any, limits: InputLimits, field: str) -> PlainSound:
    limits.check_arrays(array.nbytes, field)
    if isinstance(rate, bool) or not isinstance(rate, (int, float, np.integer, np.floating)):
        raise BadInput(field, f"an array with the sampling_rate {rate!r}", ALLOWED)
    samples = _channels_last(array, field)
    check_form(rate, samples.shape[1], field)
    hertz = float(rate)
    limits.check_duration(samples.shape[0] / hertz, field)
    _check_scale(samples, field)
    blocks = (as_floats(block, field) for block in _blocks(samples))
    return mix(blocks, hertz, limits, field)


def _blocks(samples: Sound) -> Iterator[Sound]:
    for start in range(0, len(samples), BLOCK_FRAMES):
        yield samples[start : start + BLOCK_FRAMES]


def _channels_last(array: Sound, field: str) -> Sound:
    """[samples, channels]; an array wider than long, as some libraries give it, is turned."""
    if array.ndim == 1:
        return array[:, np.newaxis]
    if array.ndim != 2:
        raise BadInput(field, f"an array of shape {list(array.shape)}", ALLOWED_SHAPE)
    return array.T if array.shape[0] < array.shape[1] and array.shape[0] <= MAX_CHANNELS else array


def _check_scale(samples: Sound, field: str) -> None:
    """Raises BadInput for 16-bit samples in a 32-bit type, which would be read as next to silence.

    Of a file that is no question: its format says what is full scale.
    """
    if samples.dtype.kind == "i" and samples.dtype.itemsize == 4 and samples.size:
        peak = max(int(samples.max()), -int(samples.min()))
        if 0 < peak <= 1 << 15:
            raise BadInput(
                field, f"made of int32 samples up to {peak}", "int16, or int32 over all of its range"
            )


def check_sound(item: object, limits: InputLimits, field: str) -> None:
    """Returns if `item` is a plain sound. Raises BadInput."""
    samples, rate = _plain_parts(item, field)
    is_plain = isinstance(samples, np.ndarray) and samples.dtype == np.float32 and samples.ndim == 1
    if not (is_plain and samples.size):
        raise BadInput(field, "not a plain sound", "a float32 array [samples]")
    limits.check_duration(samples.size / rate, field)
    if not (np.abs(samples) <= 1).all():  # nor NaN
        raise BadInput(field, "a sound with samples beyond -1..1, or none at all", "within -1..1")


def _plain_parts(item: object, field: str) -> tuple[Any, Any]:
    """What should be samples, and their rate. Raises BadInput for a rate that no plain sound has."""
    if not isinstance(item, dict):
        return item, SAMPLING_RATE
    if set(item) != {"audio", "rate_hz"}:
        raise BadInput(field, f"a dict of {', '.join(map(str, item)) or 'nothing'}", "audio and rate_hz")
    rate = item["rate_hz"]
    if type(rate) not in (int, float) or not SAMPLING_RATE < rate <= HIGHEST_RATE:
        raise BadInput(f"{field}.rate_hz", shown(rate), f"above {SAMPLING_RATE}, up to {HIGHEST_RATE}")
    return item["audio"], rate


def synthesize_sound(value: object, limits: InputLimits, field: str) -> Sound | None:
    """float32 [samples] for `{"audio": {"duration": 5.0}}` or the inner dict; None for anything else.

    A rising tone in quiet seeded noise. Raises BadInput.
    """
    shape = bare_shape(value, "audio", {"duration"})
    if shape is None:
        return None
    duration_s = shape["duration"]
    if isinstance(duration_s, bool) or not isinstance(duration_s, (int, float)):
        raise BadInput(f"{field}.duration", repr(duration_s), "a number of seconds")
    if not (math.isfinite(duration_s) and duration_s * SAMPLING_RATE >= 1):
        raise BadInput(f"{field}.duration", repr(duration_s), "a positive number of seconds")
    limits.check_duration(duration_s, field)
    time_s = np.arange(round(duration_s * SAMPLING_RATE)) / SAMPLING_RATE
    tone = 0.3 * np.sin(2 * np.pi * (220 + 40 * time_s) * time_s)
    noise = 0.01 * np.random.default_rng(0).standard_normal(time_s.size)
    return (tone + noise).astype(np.float32)


READER = with_texts(ItemReader(read_sound, check_sound, synthesize=synthesize_sound), "audio")
