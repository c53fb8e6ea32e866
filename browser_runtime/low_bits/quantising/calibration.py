"""The text that inputs are measured on, as windows of tokens: a user's, or the one that ships."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.low_bits.arrays import IntArray
from browser_runtime.low_bits.shape import DecoderShape

SHIPPED = "calibration.txt"
# Fits and measures: more changes the third digit of what is measured, and takes as much longer.
FIT_TOKENS, CHECK_TOKENS = 2048, 1024
WINDOW_TOKENS = 512
# So few say nothing of a model.
LEAST_TOKENS = 128
# Text of which nothing more would be used; 8 bytes a token is far more than any tokenizer needs.
MAX_TEXT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Calibration:
    """Windows to fit to, and others to measure on."""

    fit: list[IntArray]
    check: list[IntArray]
    name: str
    sha256: str

    def to_plain(self) -> dict[str, Any]:
        """Plain values, for the model's manifest."""
        return {
            "text": self.name,
            "sha256": self.sha256,
            "fit_tokens": sum(map(len, self.fit)),
            "check_tokens": sum(map(len, self.check)),
        }


def read_calibration(tokenizer_json: bytes, shape: DecoderShape, path: Path | None = None) -> Calibration:
    """The text in the file, or the one that ships, in the model's own tokens.

    Its last third is kept for measuring. Raises BadInput or BadRequest if it is no text, or too short.
    """
    content = _read(path)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput("--calibration", repr(str(path)), "a file of UTF-8 text") from error
    tokens = _encode(tokenizer_json, text)
    if len(tokens) and int(tokens.max()) >= shape.vocabulary:
        raise BadRequest(f"tokenizer.json has tokens beyond the model's {shape.vocabulary}")
    tokens = tokens[: FIT_TOKENS + CHECK_TOKENS]
    if len(tokens) < LEAST_TOKENS:
        raise BadInput("--calibration", f"{len(tokens)} tokens", f"at least {LEAST_TOKENS}")
    n_fit = len(tokens) * FIT_TOKENS // (FIT_TOKENS + CHECK_TOKENS)
    window = min(WINDOW_TOKENS, shape.max_positions)
    name = SHIPPED if path is None else path.name
    digest = hashlib.sha256(content).hexdigest()
    return Calibration(_cut(tokens[:n_fit], window), _cut(tokens[n_fit:], window), name, digest)


def _read(path: Path | None) -> bytes:
    if path is None:
        return resources.files(__package__).joinpath(SHIPPED).read_bytes()
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_TEXT_BYTES)
    except OSError as error:
        raise BadInput("--calibration", repr(str(path)), f"a file of text ({error.strerror})") from error
    # The bound may have cut a character.
    return content.decode("utf-8", "ignore").encode() if len(content) == MAX_TEXT_BYTES else content


def _encode(tokenizer_json: bytes, text: str) -> IntArray:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(tokenizer_json.decode("utf-8"))
    except Exception as error:  # the library raises nothing more exact
        raise BadRequest(f"tokenizer.json cannot be opened by tokenizers: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return np.array(tokenizer.encode(text, add_special_tokens=False).ids, np.int32)


def _cut(tokens: IntArray, window: int) -> list[IntArray]:
    """Windows of one length, the last one shorter; none of a single token, which predicts nothing."""
    cuts = [tokens[start : start + window] for start in range(0, len(tokens), window)]
    return [part for part in cuts if len(part) > 1]
