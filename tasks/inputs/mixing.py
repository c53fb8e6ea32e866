"""Blocks of samples -> one sound: mixed down, and resampled where needed, so that memory is the output's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from browser_runtime.contract.contrastive_families import SOUNDS
from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.vocabulary import shown
from tasks.inputs.limits import InputLimits

Sound = np.ndarray[Any, Any]
PlainSound = Sound | dict[str, Any]
"""float32 [samples] at 16 kHz, or `{"audio": float32 [samples], "rate_hz": more than that}`."""

SAMPLING_RATE = SOUNDS.rate_hz or 0  # hertz
HIGHEST_RATE = SOUNDS.highest_rate_hz or 0
# Rates from telephone to studio masters; others are a sign of swapped arguments.
RATES = (1_000, 384_000)
MAX_CHANNELS = 8
# Decoders and resamplers overshoot full scale a little; more than this is a scale error.
OVERSHOOT = 1.05
BLOCK_FRAMES = 65_536  # 2 MB of eight channels
ALLOWED_SAMPLES = "floats in -1..1, or int8, int16, int32 or uint8 over all of their range"


def check_form(rate: Any, n_channels: int, field: str) -> None:
    """Raises BadInput for a sampling rate or a number of channels that no recording has."""
    low, high = RATES
    if not low <= rate <= high:
        raise BadInput(
            field, f"a sound with sampling_rate {shown(rate)}", f"sampled at {low} to {high} hertz"
        )
    if not 1 <= n_channels <= MAX_CHANNELS:
        raise BadInput(field, f"a sound with {n_channels} channels", f"1 to {MAX_CHANNELS} channels")


def as_floats(samples: Sound, field: str) -> Sound:
    """float32 within -1..1 of any samples: the one rule for arrays and for files. Raises BadInput."""
    kind = samples.dtype
    if kind.kind == "i" and kind.itemsize <= 4:  # in whatever byte order
        return samples.astype(np.float32) / -float(np.iinfo(kind).min)
    if kind == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    if not np.issubdtype(kind, np.floating):
        raise BadInput(field, f"made of {kind} samples", ALLOWED_SAMPLES)
    peak = float(np.abs(_finite(samples, field)).max(initial=0.0))
    if peak > OVERSHOOT:
        raise BadInput(field, f"made of {kind} samples up to {peak:.4g}", ALLOWED_SAMPLES)
    return clipped(samples.astype(np.float32, copy=False), field)


def clipped(floats: Sound, field: str) -> Sound:
    """Within -1..1, as a loudspeaker has it: lossy formats overshoot. Raises BadInput."""
    bounded: Sound = np.clip(_finite(floats, field), -1.0, 1.0)
    return bounded


def _finite(samples: Sound, field: str) -> Sound:
    if not np.isfinite(samples).all():
        raise BadInput(field, "made of samples with NaN or infinite values", ALLOWED_SAMPLES)
    return samples


def kept_rate(rate: float) -> float:
    """The rate at which a sound travels: its own, raised to 16 kHz or lowered to 48 kHz."""
    return min(max(rate, SAMPLING_RATE), HIGHEST_RATE)


def mix(blocks: Iterable[Sound], rate: float, limits: InputLimits, field: str) -> PlainSound:
    """The plain sound in blocks of float32 [frames, channels] at `rate`. Raises BadInput.

    The mean of the channels. Ends as soon as there is more than the limits allow, whatever a header claimed.
    """
    kept = kept_rate(rate)
    resampler = None if rate == kept else _resampler(rate, kept)
    parts: list[Sound] = []
    n_frames = 0
    for block in blocks:
        n_frames += len(block)
        limits.check_duration(n_frames / rate, field)
        mono = block.mean(axis=1, dtype=np.float32)
        parts.append(mono if resampler is None else resampler.resample_chunk(mono))
    if resampler is not None:
        parts.append(resampler.resample_chunk(np.empty(0, np.float32), last=True))
    sound = np.concatenate(parts) if parts else np.empty(0, np.float32)
    if not sound.size:
        raise BadInput(field, "a sound without samples", "at least one sample long at 16 kHz")
    np.clip(sound, -1.0, 1.0, out=sound)
    return sound if kept == SAMPLING_RATE else {"audio": sound, "rate_hz": kept}


def _resampler(rate: float, kept: float) -> Any:
    import soxr

    return soxr.ResampleStream(rate, kept, 1, dtype="float32", quality="HQ")
