"""One sound -> float32 [samples], 16 kHz, mono, within -1..1."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadInput
from tasks.inputs.files import encoded_bytes
from tasks.inputs.limits import InputLimits

SAMPLING_RATE = 16_000  # hertz; what Whisper's front end takes
ALLOWED = 'a sound: a path or bytes (WAV, FLAC, OGG), or {"audio": array, "sampling_rate": hertz}'
ALLOWED_ARRAY = "floats in -1..1 or integer samples, shaped [samples] or [samples, channels]"
# Rates from telephone to studio masters; others are a sign of swapped arguments.
RATES = (1_000, 384_000)
MAX_CHANNELS = 8
# Decoders and resamplers overshoot full scale a little; more than this is a scale error.
OVERSHOOT = 1.05


def read_sound(value: Any, limits: InputLimits, field: str, allow_paths: bool = True) -> np.ndarray[Any, Any]:
    """float32 [samples] at 16 kHz from any accepted form. Raises BadInput, TooLarge."""
    rate = None
    if isinstance(value, dict):
        value, rate = _opened(value, field)
    if isinstance(value, np.ndarray):
        return _from_array(value, rate, limits, field)
    data = encoded_bytes(value, limits, field, ALLOWED, allow_paths)
    if data is None:
        raise BadInput(field, f"of type {type(value).__name__}", ALLOWED)
    return _from_encoded(data, limits, field)


def _opened(value: dict[str, Any], field: str) -> tuple[Any, Any]:
    """The sound and sampling rate of `{"audio"|"array"|"raw": ..., "sampling_rate": ...}`."""
    for key in ("audio", "array", "raw"):
        if key in value:
            inner = value[key]
            if isinstance(inner, dict):
                return _opened(inner, field)
            return inner, value.get("sampling_rate")
    raise BadInput(field, f"a dict with the keys {sorted(map(str, value))}", ALLOWED)


def _from_encoded(data: bytes, limits: InputLimits, field: str) -> np.ndarray[Any, Any]:
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as sound:
            _check(sound.frames, sound.samplerate, sound.channels, limits, field)
            samples = sound.read(dtype="float32", always_2d=True)
            rate = sound.samplerate
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise BadInput(field, f"{len(data)} bytes of no known sound format", ALLOWED) from error
    return _finished(np.clip(_finite(samples, field), -1.0, 1.0), rate, field)


def _from_array(
    array: np.ndarray[Any, Any], rate: Any, limits: InputLimits, field: str
) -> np.ndarray[Any, Any]:
    limits.check_arrays(array.nbytes, field)
    if isinstance(rate, bool) or not isinstance(rate, (int, float, np.integer, np.floating)):
        raise BadInput(field, f"an array with the sampling_rate {rate!r}", ALLOWED)
    samples = _channels_last(array, field)
    hertz = float(rate)
    _check(samples.shape[0], hertz, samples.shape[1], limits, field)
    return _finished(_as_floats(samples, field), hertz, field)


def _check(n_samples: int, rate: float, n_channels: int, limits: InputLimits, field: str) -> None:
    low, high = RATES
    if not low <= rate <= high:
        raise BadInput(field, f"a sound with sampling_rate {rate:g}", f"sampled at {low} to {high} hertz")
    if n_channels > MAX_CHANNELS:
        raise BadInput(field, f"a sound with {n_channels} channels", f"at most {MAX_CHANNELS} channels")
    limits.check_duration(n_samples / rate, field)


def _channels_last(array: np.ndarray[Any, Any], field: str) -> np.ndarray[Any, Any]:
    """[samples, channels]; an array wider than long, as some libraries give it, is turned."""
    if array.ndim == 1:
        return array[:, np.newaxis]
    if array.ndim != 2:
        raise BadInput(field, f"an array of shape {list(array.shape)}", ALLOWED_ARRAY)
    return array.T if array.shape[0] < array.shape[1] and array.shape[0] <= MAX_CHANNELS else array


def _as_floats(samples: np.ndarray[Any, Any], field: str) -> np.ndarray[Any, Any]:
    kind = samples.dtype
    if kind in (np.int16, np.int32):
        return samples.astype(np.float32) / -float(np.iinfo(kind).min)
    if kind == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    if not np.issubdtype(kind, np.floating):
        raise BadInput(field, f"an array of {kind}", ALLOWED_ARRAY)
    floats = _finite(samples.astype(np.float32), field)
    peak = float(np.abs(floats).max(initial=0.0))
    if peak > OVERSHOOT:
        raise BadInput(field, f"a float array with values up to {peak:.4g}", ALLOWED_ARRAY)
    clipped: np.ndarray[Any, Any] = np.clip(floats, -1.0, 1.0)
    return clipped


def _finite(samples: np.ndarray[Any, Any], field: str) -> np.ndarray[Any, Any]:
    if not np.isfinite(samples).all():
        raise BadInput(field, "a sound with NaN or infinite samples", ALLOWED_ARRAY)
    return samples


def _finished(samples: np.ndarray[Any, Any], rate: float, field: str) -> np.ndarray[Any, Any]:
    """Mixed down, resampled, contiguous."""
    mono = samples.mean(axis=1, dtype=np.float32)
    if rate != SAMPLING_RATE:
        mono = _resample(mono, rate)
    if not mono.size:
        raise BadInput(field, "a sound without samples", ALLOWED)
    return np.ascontiguousarray(np.clip(mono, -1.0, 1.0), dtype=np.float32)


def _resample(mono: np.ndarray[Any, Any], rate: float) -> np.ndarray[Any, Any]:
    import soxr

    resampled: np.ndarray[Any, Any] = soxr.resample(mono, rate, SAMPLING_RATE, quality="HQ")
    return resampled
