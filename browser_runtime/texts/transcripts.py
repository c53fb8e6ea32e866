"""A transcript's tokens as text, by the model's own tokenizer in Python's `tokenizers`.

Source: transformers 5.24, `decode` with `skip_special_tokens` of WhisperTokenizer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from browser_runtime.texts.tokenizer import open_tokenizer
from browser_runtime.texts.tokenizer_config import TokenizerConfig

# What older tokenizers have as words of their own, though they are no words.
TIMESTAMP = re.compile(r"<\|\d+\.\d+\|>")
# As many as a lane keeps models by default (`max_loaded_models`); a multilingual vocabulary takes 50 MB.
MAX_OPEN = 4


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


def open_reader(folder: Path) -> TranscriptReader:
    """The reader of the model in the folder, opened once. Raises BadRequest."""
    return _open((folder / "tokenizer.json").stat().st_mtime_ns, folder)


@lru_cache(MAX_OPEN)
def _open(_: int, folder: Path) -> TranscriptReader:
    return TranscriptReader(folder)
