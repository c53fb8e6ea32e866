"""Values as JSON has them: for Celery apps that know no arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.payloads.codec import Readable


def to_plain(value: Any) -> Any:
    """`value` with lists of numbers in the place of arrays."""
    if isinstance(value, Readable):
        return to_plain(value.value)
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value
