"""Plain inputs checked once more where they arrive: a message need not come from our producer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Family
from tasks.inputs.images import check_size
from tasks.inputs.limits import InputLimits, Total
from tasks.inputs.mixing import SAMPLING_RATE
from tasks.inputs.normalise import FORMS
from tasks.inputs.texts import read_text
from tasks.payloads.codec import Claim


def check_batch(request: Request, limits: InputLimits) -> None:
    """Raises BadInput or TooLarge unless the inputs are a batch of the family, no larger than allowed.

    Arrays may be claims still: whether they are worth fetching is seen from what they claim.
    """
    batch = FORMS[request.family].batch
    items = request.inputs.get(batch)
    if set(request.inputs) != {batch} or not isinstance(items, list):
        raise BadInput("inputs", "not a plain batch", f"{{{batch!r}: [...]}}; send with tasks.infer")
    limits.check_count(len(items), "inputs")
    if request.single and len(items) != 1:
        raise BadInput("single", f"True for {len(items)} items", "False, or there must be one item")
    limits.check_results(len(items), request.options.get("top_k", 0))
    total = Total(limits, "inputs")
    for index, item in enumerate(items):
        if not isinstance(item, _KINDS[request.family]):
            raise BadInput(
                f"inputs[{index}]", f"of type {type(item).__name__}", "plain; send with tasks.infer"
            )
        total.add(item)


def check_plain(request: Request, limits: InputLimits) -> None:
    """Raises BadInput or TooLarge unless the inputs are what `Request` promises for the family."""
    check_batch(request, limits)
    for index, item in enumerate(request.inputs[FORMS[request.family].batch]):
        _CHECKS[request.family](item, limits, f"inputs[{index}]")


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
    if not (np.abs(item) <= 1).all():  # nor NaN
        raise BadInput(field, "a sound with samples beyond -1..1, or none at all", "within -1..1")


# A claim stands for an array that waits beside the message.
_KINDS: dict[Family, tuple[type, ...]] = {
    Family.TEXT_EMBEDDING: (str,),
    Family.VISION: (np.ndarray, Claim),
    Family.AUDIO: (np.ndarray, Claim),
}
_CHECKS: dict[Family, Callable[[Any, InputLimits, str], object]] = {
    Family.TEXT_EMBEDDING: read_text,
    Family.VISION: _check_image,
    Family.AUDIO: _check_sound,
}
