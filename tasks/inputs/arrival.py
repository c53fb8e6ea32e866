"""Plain inputs checked once more where they arrive: a message need not come from our producer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.vocabulary import Family
from tasks.inputs.images import check_size
from tasks.inputs.limits import InputLimits, Total
from tasks.inputs.mixing import SAMPLING_RATE
from tasks.inputs.normalise import FORMS
from tasks.inputs.texts import read_text


def check_plain(family: Family, inputs: Any, limits: InputLimits) -> None:
    """Raises BadInput or TooLarge unless `inputs` is the batch `Request` promises for `family`."""
    batch = FORMS[family].batch
    if not isinstance(inputs, dict) or set(inputs) != {batch} or not isinstance(inputs[batch], list):
        raise BadInput("inputs", "not a plain batch", f"{{{batch!r}: [...]}}; send with tasks.infer")
    items = inputs[batch]
    limits.check_count(len(items), "inputs")
    total = Total(limits, "inputs")
    for index, item in enumerate(items):
        _CHECKS[family](item, limits, f"inputs[{index}]")
        total.add(item)


def _check_image(item: Any, limits: InputLimits, field: str) -> None:
    if not (
        isinstance(item, np.ndarray) and item.dtype == np.uint8 and item.ndim == 3 and item.shape[2] == 3
    ):
        raise BadInput(field, "not a plain image", "a uint8 array [height, width, 3]")
    check_size(item.shape[0], item.shape[1], limits, field)


def _check_sound(item: Any, limits: InputLimits, field: str) -> None:
    if not (isinstance(item, np.ndarray) and item.dtype == np.float32 and item.ndim == 1 and item.size):
        raise BadInput(field, "not a plain sound", "a float32 array [samples]")
    limits.check_duration(item.size / SAMPLING_RATE, field)
    if not np.isfinite(item).all():
        raise BadInput(field, "a sound with NaN or infinite samples", "finite")


_CHECKS: dict[Family, Callable[[Any, InputLimits, str], object]] = {
    Family.TEXT_EMBEDDING: read_text,
    Family.VISION: _check_image,
    Family.AUDIO: _check_sound,
}
