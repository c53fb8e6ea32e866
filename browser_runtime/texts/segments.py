"""A transcript with times: the windows of a sound, whose tokens hold time stamps, as segments.

Source: transformers 4.57, `_decode_asr` in tokenization_whisper.py with `return_timestamps=True`
(Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from browser_runtime.texts.joining import join_tokens


@dataclass(frozen=True, slots=True)
class Window:
    """The tokens of a window of a sound, and where it lies."""

    tokens: Sequence[int]
    start_s: float
    duration_s: float


@dataclass(slots=True)
class Segment:
    """The pieces that windows give of a segment; `end_s` is None where the model told none."""

    start_s: float | None = None
    end_s: float | None = None
    pieces: list[list[int]] = field(default_factory=list)

    @property
    def tokens(self) -> list[int]:
        """The tokens of the pieces, joined where windows overlap."""
        return join_tokens(self.pieces)


class SegmentJoiner:
    """Segments out of windows that overlap.

    Stamps in the half of an overlap that is nearer to a window's end are left to the window beside it; what
    lies between is joined by its tokens.
    """

    def __init__(self, begin: int, seconds_a_stamp: float, special: Collection[int]) -> None:
        """`begin` is the first stamp, of 0 seconds; `special` are tokens that are no text."""
        self._begin, self._seconds, self._special = begin, seconds_a_stamp, special
        self._segment = Segment()
        self._skips = False

    def join(self, windows: Sequence[Window]) -> list[Segment]:
        """All segments of a sound."""
        found: list[Segment] = []
        for number, window in enumerate(windows):
            before, after = windows[max(number - 1, 0)], windows[min(number + 1, len(windows) - 1)]
            left = max(before.start_s + before.duration_s - window.start_s, 0.0) / 2 if number else 0.0
            is_last = number == len(windows) - 1
            right = 0.0 if is_last else (window.start_s + window.duration_s - after.start_s) / 2
            found += self._read(window, left, right)
        if self._segment.pieces:
            found.append(self._segment)
        self._segment, self._skips = Segment(), False
        return found

    def _read(self, window: Window, left_s: float, right_s: float) -> Iterator[Segment]:
        """The segments that end in a window; what is left stays for the next one."""
        first = self._begin + left_s / self._seconds
        last = self._find_last(window, right_s) if right_s else None
        piece: list[int] = []
        for token in window.tokens:
            if token in self._special:
                continue
            if token < self._begin:
                piece.append(token)
                continue
            time_s = round((token - self._begin) * self._seconds + window.start_s, 2)
            if last is not None and token >= last:
                # Stamps come in pairs: the second, with which the next segment would begin, is left out too.
                self._skips = True
            elif self._skips or (self._segment.pieces and token < first):
                self._skips = False
            elif self._segment.start_s is None:
                self._segment.start_s = time_s
            elif time_s != self._segment.start_s:
                self._segment.end_s = time_s
                self._segment.pieces.append(piece)
                yield self._segment
                self._segment, piece = Segment(), []
        if piece:
            self._segment.pieces.append(piece)
        elif not any(self._segment.pieces):
            self._segment = Segment()

    def _find_last(self, window: Window, right_s: float) -> int | None:
        """The first of the stamps in the right overlap, or the last stamp where none is in it."""
        last = None
        for token in reversed(window.tokens):
            if token < self._begin:
                continue
            time_s = (token - self._begin) * self._seconds
            if last is not None and time_s < window.duration_s - right_s:
                break
            last = token
        return last
