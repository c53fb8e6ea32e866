"""What may follow in a transcript with time stamps: the twin of `page/families/sounds/stamps.js`.

Source: transformers, WhisperTimeStampLogitsProcessor in generation/logits_process.py (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from browser_runtime.models.configuration.decoding import Stamps
from browser_runtime.simulation.graphs import Array


def bar_unordered(logits: Array, tokens: Sequence[int], stamps: Stamps) -> Array:
    """The logits, minus infinity for what would break the order of stamps, and for text where stamps win."""
    allowed = logits.astype(np.float64)
    begin = stamps["begin"]
    allowed[begin - 1] = -np.inf
    found = [token for token in tokens if token >= begin]
    is_after = bool(tokens) and tokens[-1] >= begin
    is_pair = is_after and (len(tokens) < 2 or tokens[-2] >= begin)
    if not tokens:
        allowed[:begin] = -np.inf
        if stamps["most_first"] is not None:
            allowed[begin + stamps["most_first"] + 1 :] = -np.inf
    if is_pair:
        allowed[begin:] = -np.inf
    elif is_after:
        allowed[: stamps["end"]] = -np.inf
    if found:
        allowed[begin : found[-1] + (not is_after or is_pair)] = -np.inf
    if np.logaddexp.reduce(allowed[begin:]) > allowed[:begin].max():
        allowed[:begin] = -np.inf
    return allowed
