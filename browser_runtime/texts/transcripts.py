"""A transcript's tokens as text, by the model's own tokenizer in Python's `tokenizers`.

Source: transformers 5.24, `decode` with `skip_special_tokens` of WhisperTokenizer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from browser_runtime.texts.tokenizer import open_tokenizer
from browser_runtime.texts.tokenizer_config import TokenizerConfig

# What older tokenizers have as words of their own, though they are no words.
TIMESTAMP = re.compile(r"<\|\d+\.\d+\|>")


class TranscriptReader:
    """The way back from tokens. Nothing changes after it is opened, so any thread may use it."""

    def __init__(self, folder: Path) -> None:
        """Opens tokenizer.json and its companions. Raises BadRequest for a file that cannot be used."""
        self._tokenizer = open_tokenizer(folder / "tokenizer.json")
        TokenizerConfig(folder).add_tokens(self._tokenizer)

    def read(self, tokens: Sequence[int]) -> str:
        """The text without special tokens, timestamps, and spaces at its ends; empty for no tokens."""
        text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=True)
        return TIMESTAMP.sub("", text).strip()

    def read_piece(self, tokens: Sequence[int]) -> str:
        """The text as it stands between others, spaces at its ends included."""
        text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=False)
        return text

    @property
    def special(self) -> frozenset[int]:
        """The tokens that are no text."""
        added = self._tokenizer.get_added_tokens_decoder()
        return frozenset(number for number, token in added.items() if token.special)
