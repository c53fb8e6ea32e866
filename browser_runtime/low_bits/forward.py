"""A LLaMA-type decoder in NumPy: token numbers in, logits out; the reference that pages are held to.

The plan of a layer, and the names of its tensors, are those of `page/kernels/README.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from browser_runtime.low_bits.arrays import FloatArray, IntArray
from browser_runtime.low_bits.rope import rotate
from browser_runtime.low_bits.shape import DecoderShape

Multiply = Callable[[FloatArray], FloatArray]
"""A matrix [out, in] as what it does to rows: from [tokens, in] to [tokens, out]."""

Watch = Callable[[int, str, FloatArray], None]
"""Told of a layer, of which matrices' input it is ("qkv", "o", "gate_up", "down"), and of the input."""


class Tensors(Protocol):
    """A decoder's weights, exact or packed."""

    @property
    def shape(self) -> DecoderShape:
        """The sizes of the decoder."""

    def rows(self, tokens: IntArray) -> FloatArray:
        """The embedding of each token [tokens, width]."""

    def multiply(self, name: str, x: FloatArray) -> FloatArray:
        """Multiply rows [tokens, in] with the matrix of that name: [tokens, out], without its bias."""

    def vector(self, name: str) -> FloatArray | None:
        """A norm or a bias; None where the model has none of that name."""


class Cache(Protocol):
    """Keys and values of the tokens so far, of one text."""

    @property
    def n_tokens(self) -> int:
        """The number of tokens that it holds."""

    def attend(self, layer: int, q: FloatArray, k: FloatArray, v: FloatArray) -> FloatArray:
        """Takes in new tokens' keys and values [tokens, kv_heads, head_width]; their attention, like q.

        q: [tokens, heads, head_width]; each token sees those before it and itself.
        """

    def advance(self, n_tokens: int) -> None:
        """Says that so many tokens went through all layers."""


class ExactCache:
    """Keys and values as 32-bit floats: what caches of few bits are compared with."""

    def __init__(self, shape: DecoderShape) -> None:
        self.n_tokens = 0
        none = np.zeros((0, shape.kv_heads, shape.head_width), np.float32)
        self._keys, self._values = [none] * shape.layers, [none] * shape.layers

    def attend(self, layer: int, q: FloatArray, k: FloatArray, v: FloatArray) -> FloatArray:
        """Attention over all tokens so far, these among them."""
        keys = self._keys[layer] = np.concatenate((self._keys[layer], k))
        values = self._values[layer] = np.concatenate((self._values[layer], v))
        positions = np.arange(len(keys))
        hidden = positions[None] > positions[-len(q) :, None]
        return attend_exactly(q, keys, values, hidden)

    def advance(self, n_tokens: int) -> None:
        """Counts them."""
        self.n_tokens += n_tokens


def attend_exactly(q: FloatArray, keys: FloatArray, values: FloatArray, hidden: Any) -> FloatArray:
    """Attention [tokens, heads, head_width] over keys and values [all, kv_heads, head_width].

    hidden: bool [tokens, all], true where a token does not look.
    """
    weights = softmax(np.where(hidden, np.float32(-np.inf), scores_of(q, keys)))
    return mix(weights, values)


def scores_of(q: FloatArray, keys: FloatArray) -> FloatArray:
    """The scaled products [kv_heads, heads of each, tokens, all]."""
    n_tokens, heads, head_width = q.shape
    kv_heads = keys.shape[1]
    grouped = q.reshape(n_tokens, kv_heads, heads // kv_heads, head_width).transpose(1, 2, 0, 3)
    scaled = grouped * np.float32(head_width**-0.5)
    scores: FloatArray = np.matmul(scaled, keys.transpose(1, 2, 0)[:, None])
    return scores


def mix(weights: FloatArray, values: FloatArray) -> FloatArray:
    """Attention [tokens, heads, head_width], of values [all, kv_heads, head_width] under weights."""
    mixed: FloatArray = np.matmul(weights, values.transpose(1, 0, 2)[:, None])
    kv_heads, per_head, n_tokens, head_width = mixed.shape
    return mixed.transpose(2, 0, 1, 3).reshape(n_tokens, kv_heads * per_head, head_width)


def softmax(scores: FloatArray) -> FloatArray:
    """Weights that sum to 1 along the last axis."""
    weights: FloatArray = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return weights


def normalise(x: FloatArray, gain: FloatArray, epsilon: float) -> FloatArray:
    """RMSNorm along the last axis."""
    mean = np.mean(np.square(x), axis=-1, keepdims=True, dtype=np.float32).astype(np.float32)
    normed = x / np.sqrt(mean + np.float32(epsilon)) * gain
    return normed.astype(np.float32, copy=False)


def gate(a: FloatArray, up: FloatArray) -> FloatArray:
    """silu(a) up. exp(-a) may be infinite, and the quotient 0, as it is to be."""
    with np.errstate(over="ignore"):
        gated: FloatArray = a / (1 + np.exp(-a)) * up
    return gated


class Decoder:
    """A decoder that is ready to run on any weights and any cache."""

    def __init__(self, tensors: Tensors, watch: Watch | None = None) -> None:
        self.tensors, self.shape = tensors, tensors.shape
        self._watch = watch or (lambda *_: None)

    def hidden(
        self, tokens: IntArray, cache: Cache, given: Mapping[int, FloatArray] | None = None
    ) -> FloatArray:
        """Compute the input of the head [tokens, width]; the tokens follow those in the cache.

        `given`: rows [width] in the place of embeddings, as images have them, by their place in `tokens`.
        """
        x = self.tensors.rows(tokens)
        if given:
            x = x.copy()
            x[list(given)] = list(given.values())
        angles = self.shape.rope.angles(cache.n_tokens, len(tokens))
        for layer in range(self.shape.layers):
            x = self.run_layer(layer, x, angles, cache)
        cache.advance(len(tokens))
        return self._norm("norm", x)

    def logits(self, hidden: FloatArray) -> FloatArray:
        """The scores of each next token [tokens, vocabulary]."""
        return self.tensors.multiply("embedding" if self.shape.tied_head else "head", hidden)

    def run_layer(
        self, layer: int, x: FloatArray, angles: tuple[FloatArray, FloatArray], cache: Cache
    ) -> FloatArray:
        """The residual stream [tokens, width] after one more layer."""
        here = f"layers.{layer}."
        h = self._norm(f"{here}attention_norm", x)
        self._watch(layer, "qkv", h)
        q, k = (rotate(self._heads(f"{here}{name}", h), *angles) for name in ("q", "k"))
        mixed = cache.attend(layer, q, k, self._heads(f"{here}v", h)).reshape(len(x), -1)
        self._watch(layer, "o", mixed)
        x = x + self._linear(f"{here}o", mixed)
        h = self._norm(f"{here}ffn_norm", x)
        self._watch(layer, "gate_up", h)
        gated = gate(self._linear(f"{here}gate", h), self._linear(f"{here}up", h))
        self._watch(layer, "down", gated)
        return x + self._linear(f"{here}down", gated)

    def _linear(self, name: str, x: FloatArray) -> FloatArray:
        y, bias = self.tensors.multiply(name, x), self.tensors.vector(f"{name}_bias")
        return y if bias is None else y + bias

    def _heads(self, name: str, x: FloatArray) -> FloatArray:
        """A projection, cut into heads, each normalised where the model does so."""
        heads = self._linear(name, x).reshape(len(x), -1, self.shape.head_width)
        return self._norm(f"{name}_norm", heads) if self.tensors.vector(f"{name}_norm") is not None else heads

    def _norm(self, name: str, x: FloatArray) -> FloatArray:
        gain = self.tensors.vector(name)
        assert gain is not None, name
        return normalise(x, gain, self.shape.norm_epsilon)


class ExactTensors:
    """Weights as 32-bit floats."""

    def __init__(self, shape: DecoderShape, tensors: Mapping[str, FloatArray]) -> None:
        self.shape, self._tensors = shape, tensors

    def rows(self, tokens: IntArray) -> FloatArray:
        """The embedding's rows."""
        return self._tensors["embedding"][tokens]

    def multiply(self, name: str, x: FloatArray) -> FloatArray:
        """A plain product."""
        return x @ self._tensors[name].T

    def vector(self, name: str) -> FloatArray | None:
        """The vector."""
        return self._tensors.get(name)
