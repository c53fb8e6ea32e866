"""The tokens of windows of a sound that overlap, joined.

The twin of `page/families/sounds/windows.js`. Source: Hugging Face transformers,
_find_longest_common_sequence in tokenization_whisper.py (Apache-2.0).
"""

from __future__ import annotations


def join_tokens(windows: list[list[int]]) -> list[int]:
    """The tokens of overlapping windows as one sequence, each two laid over each other where most agree.

    Of the overlap the left half is the left window's and the rest the right one's: the ends of a window are
    heard worst. Windows that agree nowhere follow each other. A window meets only what is left of the one
    before, so the work grows with the length of the sound and no faster.
    """
    joined: list[int] = []
    left: list[int] = []
    for right in windows:
        left_cut, right_cut = _find_overlay(left, right)
        joined += left[:left_cut]
        left = right[right_cut:]
    return joined + left


def _find_overlay(left: list[int], right: list[int]) -> tuple[int, int]:
    """The place where two windows agree best, at which each is cut."""
    best_score, cuts = 0.0, (len(left), 0)
    for shift in range(1, len(left) + len(right)):
        matches, score, candidate = _lay_over(left, right, shift)
        # A single token agrees by chance too often.
        if matches > 1 and score > best_score:
            best_score, cuts = score, candidate
    return cuts


def _lay_over(left: list[int], right: list[int], shift: int) -> tuple[int, float, tuple[int, int]]:
    """The tokens that agree, their share, and the cut, with `right` beginning `shift` before left's end."""
    left_start, left_stop = max(len(left) - shift, 0), min(len(left), len(left) + len(right) - shift)
    right_start = max(shift - len(left), 0)
    right_stop = right_start + left_stop - left_start
    pairs = zip(left[left_start:left_stop], right[right_start:right_stop], strict=True)
    matches = sum(one == other for one, other in pairs)
    # The second term prefers the longer of two overlays that agree equally well.
    score = matches / shift + shift / 10_000
    return matches, score, ((left_start + left_stop) // 2, (right_start + right_stop) // 2)
