"""Inputs made from a bare shape, always the same for the same shape: what the guide's snippets pass."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.vocabulary import Family
from tasks.inputs.images import check_size
from tasks.inputs.limits import InputLimits
from tasks.inputs.mixing import SAMPLING_RATE


def synthesize(family: Family, value: Any, limits: InputLimits, field: str) -> np.ndarray[Any, Any] | None:
    """The made-up input for a bare shape of `family`; None when `value` is none. Raises BadInput, TooLarge.

    Shapes: `{"image": {"width": 224, "height": 224}}`, `{"audio": {"duration": 5.0}}`, or the inner dict.
    """
    if not isinstance(value, dict):
        return None
    if family is Family.VISION:
        shape = value.get("image", value)
        return _image(shape, limits, field) if _has(shape, {"width", "height"}) else None
    if family is Family.AUDIO:
        shape = value.get("audio", value)
        return _sound(shape, limits, field) if _has(shape, {"duration"}) else None
    return None


def _has(shape: Any, keys: set[str]) -> bool:
    return isinstance(shape, dict) and set(shape) == keys


def _image(shape: dict[str, Any], limits: InputLimits, field: str) -> np.ndarray[Any, Any]:
    """uint8 [height, width, 3]: a gradient with seeded noise, so that no two channels are alike."""
    height, width = (_whole(shape[key], f"{field}.{key}") for key in ("height", "width"))
    check_size(height, width, limits, field)
    noise = np.random.default_rng(0).integers(0, 128, (height, width, 3), dtype=np.uint8)
    ramp = np.linspace(0, 127, width, dtype=np.uint8)[np.newaxis, :, np.newaxis]
    return noise + ramp


def _sound(shape: dict[str, Any], limits: InputLimits, field: str) -> np.ndarray[Any, Any]:
    """float32 [samples]: a rising tone in quiet seeded noise."""
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


def _whole(value: Any, field: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadInput(field, repr(value), "a whole number from 1")
    return value
