"""Plain inputs checked once more where they arrive: a message need not come from our producer."""

from __future__ import annotations

import numpy as np

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.families import inputs_of
from browser_runtime.contract.messages import Request
from tasks.inputs.limits import InputLimits, Total
from tasks.inputs.readers import find_reader
from tasks.payloads.codec import Claim

# A claim stands for an array that waits beside the message.
ARRAYS: tuple[type, ...] = (np.ndarray, Claim)


def check_batch(request: Request, limits: InputLimits) -> None:
    """Raises BadInput or TooLarge unless the inputs are a batch of the family, no larger than allowed.

    Arrays may be claims still: whether they are worth fetching is seen from what they claim.
    """
    spec = inputs_of(request.family)
    batch, kinds = spec.batch, ARRAYS
    if spec.may_hold_texts:
        kinds = (*ARRAYS, dict)
    if spec.is_text:
        kinds = (str, list) if spec.may_be_chats else (str,)
    items = request.inputs.get(batch)
    if set(request.inputs) != {batch} or not isinstance(items, list):
        raise BadInput("inputs", "not a plain batch", f"{{{batch!r}: [...]}}; send with tasks.infer")
    limits.check_count(len(items), "inputs")
    if request.single and len(items) != 1:
        raise BadInput("single", f"True for {len(items)} items", "False, or there must be one item")
    limits.check_results(len(items), request.options.get("top_k", 0))
    total = Total(limits, "inputs")
    for index, item in enumerate(items):
        if not isinstance(item, kinds):
            raise BadInput(
                f"inputs[{index}]", f"of type {type(item).__name__}", "plain; send with tasks.infer"
            )
        total.add(item)


def check_plain(request: Request, limits: InputLimits) -> None:
    """Raises BadInput or TooLarge unless the inputs are what `Request` promises for the family."""
    check_batch(request, limits)
    spec = inputs_of(request.family)
    reader = find_reader(spec)
    for index, item in enumerate(request.inputs[spec.batch]):
        reader.check(item, limits, f"inputs[{index}]")
