"""Text of generated tokens as it grows: whole characters, nothing behind a stop string.

Source: `stop` of OpenAI's completions, where the text ends before the string, and transformers'
`skip_special_tokens`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tokenizers.decoders import DecodeStream


class TextEmitter:
    """Decodes one sequence of tokens. What `push` and `finish` return, joined, is the sequence's text."""

    def __init__(self, tokenizer: Any, stops: Sequence[str] = ()) -> None:
        """`tokenizer` is one of Python's `tokenizers`; `stops` are the strings that end the text."""
        self._tokenizer, self._stops = tokenizer, tuple(stops)
        self._stream = DecodeStream(skip_special_tokens=True)
        self._tokens: list[int] = []
        self._decoded = self._held = ""
        self.stopped_by: str | None = None
        """The stop string that was found; nothing more is emitted then."""

    def push(self, tokens: Iterable[int]) -> str:
        """The text that `tokens` make certain; empty where they complete no character."""
        for token in tokens:
            if self.stopped_by is not None:
                break
            self._tokens.append(token)
            self._take(self._stream.step(self._tokenizer, token) or "")
        return self._release(self._hold_back())

    def finish(self) -> str:
        """The text that was held back, and characters that no further token completed."""
        if self.stopped_by is None:
            whole: str = self._tokenizer.decode(self._tokens, skip_special_tokens=True)
            if whole.startswith(self._decoded):
                self._take(whole[len(self._decoded) :])
        return self._release(0)

    def _take(self, text: str) -> None:
        """Add decoded text to what is held, and cut it at the first stop string."""
        self._decoded += text
        self._held += text
        found = [(at, stop) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            at, self.stopped_by = min(found)
            self._held = self._held[:at]

    def _hold_back(self) -> int:
        """The number of characters at the end that may begin a stop string."""
        if self.stopped_by is not None:
            return 0
        return max((self._overlap(stop) for stop in self._stops), default=0)

    def _overlap(self, stop: str) -> int:
        """The length of the longest end of what is held that begins `stop`."""
        at = max(len(self._held) - len(stop) + 1, 0)
        while (at := self._held.find(stop[0], at)) >= 0:
            if stop.startswith(self._held[at:]):
                return len(self._held) - at
            at += 1
        return 0

    def _release(self, n_kept: int) -> str:
        cut = len(self._held) - n_kept
        text, self._held = self._held[:cut], self._held[cut:]
        return text
