"""A packed encoder in NumPy: token numbers or an image in, vectors out; the reference that pages are held to.

The plan of a layer, and the rounding of weights and rows to 16 bits before each product, are those of
`page/kernels/README.md`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from browser_runtime.low_bits.arrays import FloatArray, IntArray
from browser_runtime.low_bits.encoder_file import PackedEncoder
from browser_runtime.low_bits.encoder_shape import ImageInput

WEIGHT_LIMIT = 2047
MAX_CODE = 32_767
MAX_SUM = 2**31 - 1


class Encoder:
    """An encoder's weights as they are multiplied with: int16, a scale a row."""

    def __init__(self, packed: PackedEncoder) -> None:
        """Reads and widens all tensors. Raises BadRequest."""
        self.shape = packed.shape
        self._tensors = {name: packed.file.read(name) for name in packed.file.tensors}
        self._products: dict[str, WideMatrix] = {}
        if isinstance(self.shape.input, ImageInput):
            self._products["patches"] = WideMatrix(self._tensors.pop("patches"))
        for layer in range(self.shape.layers):
            at = f"layers.{layer}."
            qkv = np.concatenate([self._tensors.pop(at + name) for name in ("q", "k", "v")])
            self._products[at + "qkv"] = WideMatrix(qkv)
            biases = [self._tensors.pop(at + f"{name}_bias") for name in ("q", "k", "v")]
            self._tensors[at + "qkv_bias"] = np.concatenate(biases)
            for name in ("o", "up", "down"):
                self._products[at + name] = WideMatrix(self._tensors.pop(at + name))

    def run(self, tokens: IntArray, segments: IntArray | None = None) -> FloatArray:
        """The vectors of one text's tokens: [tokens, width]."""
        types = np.zeros_like(tokens) if segments is None else segments
        rest = self._tensors["positions"][: len(tokens)] + self._tensors["token_types"][types]
        return self._run_layers(self._normalise("norm", self._tensors["words"][tokens] + rest))

    def classify(self, planes: FloatArray) -> FloatArray:
        """The logits of one image, float32 [channels, height, width]: [classes]."""
        logits: FloatArray = self._tensors["head"] @ self.look(planes)[0] + self._tensors["head_bias"]
        return logits

    def look(self, planes: FloatArray) -> FloatArray:
        """The vectors of the class token and of the patches, row by row: [1 + patches, width]."""
        patches = self._multiply("patches", self._cut(planes))
        rows = np.concatenate([self._tensors["class_token"][None], patches]) + self._tensors["positions"]
        return self._normalise("norm", self._run_layers(rows))

    def _cut(self, planes: FloatArray) -> FloatArray:
        """The patches of an image, each as [channel, row, column] in a row, and zeros: [patches, columns]."""
        image = self.shape.input
        assert isinstance(image, ImageInput), "texts have no patches"
        size, rows, columns = image.patch, image.height // image.patch, image.width // image.patch
        whole = planes[:, : rows * size, : columns * size]
        tiles = whole.reshape(-1, rows, size, columns, size).transpose(1, 3, 0, 2, 4)
        flat = tiles.reshape(rows * columns, -1)
        padded: FloatArray = np.pad(flat, ((0, 0), (0, image.columns - flat.shape[1])))
        return padded

    def _run_layers(self, x: FloatArray) -> FloatArray:
        for layer in range(self.shape.layers):
            at = f"layers.{layer}."
            x = self._add(at + "attention_norm", x, partial(self._mix_rows, at))
            x = self._add(at + "ffn_norm", x, partial(self._feed_forward, at))
        return x

    def _add(self, norm: str, x: FloatArray, block: Callable[[FloatArray], FloatArray]) -> FloatArray:
        """The rows and what a block makes of them, its norm before it (images) or behind the sum (texts)."""
        if isinstance(self.shape.input, ImageInput):
            return x + block(self._normalise(norm, x))
        return self._normalise(norm, x + block(x))

    def _mix_rows(self, at: str, rows: FloatArray) -> FloatArray:
        return self._multiply(at + "o", self._attend(self._multiply(at + "qkv", rows)))

    def _feed_forward(self, at: str, rows: FloatArray) -> FloatArray:
        return self._multiply(at + "down", self._activate(self._multiply(at + "up", rows)))

    def _multiply(self, name: str, x: FloatArray) -> FloatArray:
        return self._products[name].multiply(x) + self._tensors[f"{name}_bias"]

    def _normalise(self, name: str, x: FloatArray) -> FloatArray:
        centred = x - x.mean(-1, keepdims=True)
        scale = 1 / np.sqrt((centred * centred).mean(-1, keepdims=True) + np.float32(self.shape.norm_epsilon))
        rows: FloatArray = centred * scale * self._tensors[name] + self._tensors[f"{name}_bias"]
        return rows

    def _attend(self, qkv: FloatArray) -> FloatArray:
        """softmax(Q K^T / sqrt d) V of each head: [tokens, width] of [tokens, 3 width]."""
        heads, n = self.shape.heads, len(qkv)
        q, k, v = qkv.reshape(n, 3, heads, -1).transpose(1, 2, 0, 3)
        scores = q @ k.transpose(0, 2, 1) / np.float32(math.sqrt(q.shape[-1]))
        powers = np.exp(scores - scores.max(-1, keepdims=True))
        mixed: FloatArray = (powers / powers.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(n, -1)
        return mixed

    def _activate(self, x: FloatArray) -> FloatArray:
        if self.shape.activation == "relu":
            return np.maximum(x, np.float32(0))
        gelu: FloatArray = np.float32(0.5) * x * (1 + _erf(x / np.float32(math.sqrt(2))))
        return gelu


class WideMatrix:
    """A matrix [out, in] as int16 with a scale a row, for rows of int16 with a scale each."""

    def __init__(self, numbers: FloatArray) -> None:
        largest = np.abs(numbers).max(-1, keepdims=True)
        codes = np.rint(numbers * (WEIGHT_LIMIT / np.where(largest > 0, largest, 1)))
        # Sums of codes stay far below 2^53, and are as exact as the page's integers.
        self._codes: np.ndarray[tuple[int, int], np.dtype[np.float64]] = codes.astype(np.float64)
        self._scales = (largest / WEIGHT_LIMIT)[:, 0]
        longest = int(np.abs(self._codes).sum(-1).max())
        self.limit = min(MAX_CODE, MAX_SUM // max(longest, 1))
        """The largest code of a row with which no sum leaves 32 bits."""

    def multiply(self, x: FloatArray) -> FloatArray:
        """Rows [tokens, in] to [tokens, out]."""
        largest = np.abs(x).max(-1, keepdims=True)
        codes = np.rint(x * (self.limit / np.where(largest > 0, largest, 1)))
        sums = codes.astype(np.float64) @ self._codes.T
        scaled: FloatArray = (sums * (largest / self.limit) * self._scales).astype(np.float32)
        return scaled


def _erf(x: FloatArray) -> FloatArray:
    """erf by Abramowitz and Stegun's 7.1.26, which is off by at most 1.5e-7."""
    t = 1 / (1 + np.float32(0.3275911) * np.abs(x))
    y = np.full_like(t, 1.061405429)
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        y = y * t + np.float32(factor)
    rows: FloatArray = (np.sign(x) * (1 - y * t * np.exp(-x * x))).astype(np.float32)
    return rows
