"""Limits of one request's inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from browser_runtime.contract.errors import BadInput, TooLarge


@dataclass(frozen=True, slots=True)
class InputLimits:
    """Checked from headers and sizes, before anything is read or unpacked."""

    max_items: int = 256
    max_text_characters: int = 100_000
    max_text_bytes: int = 16 << 20
    """All texts of a request as UTF-8: half of a message (`tasks.payloads.codec.MAX_MESSAGE_BYTES`)."""
    max_file_bytes: int = 64 << 20
    """Encoded image or sound, as a file or as bytes."""
    max_input_bytes: int = 192 << 20
    """Decoded arrays of a whole request: three quarters of a frame to the page (`frames.MAX_FRAME_BYTES`)."""
    max_sound_s: float = 600.0
    max_results: int = 256_000
    """Labels that a request may ask for, all items together: what its reply holds must fit a message too."""

    def check_file(self, size_bytes: int, field: str) -> None:
        """Raises TooLarge for an encoded input over the limit."""
        if size_bytes > self.max_file_bytes:
            raise TooLarge(field, size_bytes, self.max_file_bytes)

    def check_arrays(self, size_bytes: int, field: str) -> None:
        """Raises TooLarge for decoded inputs over the limit."""
        if size_bytes > self.max_input_bytes:
            raise TooLarge(field, size_bytes, self.max_input_bytes)

    def check_texts(self, size_bytes: int, field: str) -> None:
        """Raises TooLarge for texts over the limit."""
        if size_bytes > self.max_text_bytes:
            raise TooLarge(field, size_bytes, self.max_text_bytes)

    def check_results(self, n_items: int, top_k: int) -> None:
        """Raises BadInput for more results than a reply can hold."""
        if n_items * top_k > self.max_results:
            allowed = f"at most {self.max_results // n_items} for {n_items} items"
            raise BadInput("options.top_k", str(top_k), allowed)

    def check_duration(self, duration_s: float, field: str) -> None:
        """Raises BadInput for too long a sound."""
        if duration_s > self.max_sound_s:
            raise BadInput(field, f"a sound of {duration_s:.1f} s", f"at most {self.max_sound_s:g} s long")

    def check_count(self, n_items: int, field: str) -> None:
        """Raises BadInput for an empty or too long a list."""
        if not 1 <= n_items <= self.max_items:
            raise BadInput(field, f"a list of {n_items} items", f"a list of 1 to {self.max_items} items")


class Total:
    """The size of all items of one request together."""

    def __init__(self, limits: InputLimits, field: str) -> None:
        self._limits, self._field = limits, field
        self._array_bytes = self._text_bytes = 0

    def add(self, item: Any) -> None:
        """Count `item`: a text, an array, or dicts and lists of them, as chats are.

        Raises TooLarge once there is too much.
        """
        if isinstance(item, str):
            self._text_bytes += len(item.encode(errors="replace"))
            self._limits.check_texts(self._text_bytes, self._field)
        elif isinstance(item, (dict, list)):
            for part in item.values() if isinstance(item, dict) else item:
                self.add(part)
        else:
            self._array_bytes += getattr(item, "nbytes", 0)
            self._limits.check_arrays(self._array_bytes, self._field)
