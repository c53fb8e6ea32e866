"""What logits say that are all equal: nothing."""

from __future__ import annotations

from typing import Any

import numpy as np


def tell_flat(logits: Any) -> str:
    """The warning of logits that are all equal; empty where they differ, or there is one alone."""
    numbers = np.asarray(logits)
    if numbers.size < 2 or np.any(numbers != numbers.flat[0]):
        return ""
    return f"all {numbers.size} logits are equal: the labels are in no order"
