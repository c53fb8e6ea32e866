"""Sound longer than a model's window, cut into windows that overlap.

The twin of `page/families/sounds/windows.js`.
"""

from __future__ import annotations

from math import ceil

from browser_runtime.simulation.graphs import Array

# As Hugging Face's pipeline: a sixth of the window on each side is heard twice.
OVERLAP_SHARE = 1 / 6


def split_windows(samples: Array, size: int) -> list[Array]:
    """Views of at most `size` samples, each overlapping the one before by a sixth; one where all fits."""
    return [samples[start : start + size] for start in window_starts(len(samples), size)]


def window_starts(n_samples: int, size: int) -> range:
    """The first sample of each window."""
    step = size - round(size * OVERLAP_SHARE)
    count = max(ceil((n_samples - size) / step), 0) + 1
    return range(0, count * step, step)
