"""Sound longer than a model's window: cut into overlapping windows, their tokens joined where they overlap.

The twin of `page/families/windows.js`. Source of the joining: Hugging Face transformers,
_find_longest_common_sequence in tokenization_whisper.py (Apache-2.0).
"""

from __future__ import annotations

from math import ceil

from browser_runtime.simulation.graphs import Array

# As Hugging Face's pipeline: a sixth of the window on each side is heard twice.
OVERLAP_SHARE = 1 / 6


def split_windows(samples: Array, size: int) -> list[Array]:
    """Views of at most `size` samples, each overlapping the one before by a sixth; one where all fits."""
    step = size - round(size * OVERLAP_SHARE)
    count = max(ceil((len(samples) - size) / step), 0) + 1
    return [samples[index * step : index * step + size] for index in range(count)]


def join_tokens(left: list[int], right: list[int]) -> list[int]:
    """The tokens of two overlapping windows as one sequence, laid over each other where most agree.

    Of the overlap the left half is the left window's and the rest the right one's: the ends of a window are
    heard worst. Windows that agree nowhere follow each other.
    """
    best_score, cuts = 0.0, (len(left), 0)
    for shift in range(1, len(left) + len(right)) if left and right else ():
        matches, score, candidate = _lay_over(left, right, shift)
        # A single token agrees by chance too often.
        if matches > 1 and score > best_score:
            best_score, cuts = score, candidate
    return left[: cuts[0]] + right[cuts[1] :]


def _lay_over(left: list[int], right: list[int], shift: int) -> tuple[int, float, tuple[int, int]]:
    """How many tokens agree, how well, and where to cut, `right` beginning `shift` before left's end."""
    left_start, right_start = max(len(left) - shift, 0), max(shift - len(left), 0)
    length = min(len(left) - left_start, len(right) - right_start)
    pairs = zip(left[left_start:], right[right_start:], strict=False)
    matches = sum(one == other for one, other in pairs)
    half = length // 2
    # The second term prefers the longer of two overlays that agree equally well.
    return matches, matches / length + length / 10_000, (left_start + half, right_start + half)
