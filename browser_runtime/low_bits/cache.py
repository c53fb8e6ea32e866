"""The cache of keys and values in 2 to 16 bits, as `page/kernels/README.md` has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadInput
from browser_runtime.low_bits.arrays import FloatArray
from browser_runtime.low_bits.forward import attend_exactly
from browser_runtime.low_bits.shape import DecoderShape

BLOCK = 64
"""Tokens that are packed together."""
SIDES = (2, 3, 4, 8, 16)
EXACT_BITS = 16
# By bits, the part of a group's range that is cut off at each end: few levels are better spent on the many
# than on the ends. Measured on SmolLM2; at more bits it loses. Multiples of 1/32, so that products are exact
# on every backend.
KEY_CLIPS = {2: 1 / 32, 3: 1 / 32}
VALUE_CLIPS = {2: 3 / 32, 3: 1 / 32}


@dataclass(frozen=True, slots=True)
class CacheFormat:
    """The bits of keys and of values, and the number of newest tokens that stay exact."""

    key_bits: int = EXACT_BITS
    value_bits: int = EXACT_BITS
    window: int = BLOCK

    @classmethod
    def parse(cls, text: object, field: str = "kv_cache") -> CacheFormat:
        """The format called "k3v2", or "4" for both sides. Raises BadInput naming the field."""
        words = {f"k{k}v{v}": (k, v) for k in SIDES for v in SIDES} | {
            str(bits): (bits, bits) for bits in SIDES
        }
        if not isinstance(text, str) or text not in words:
            bits = ", ".join(map(str, SIDES))
            raise BadInput(field, repr(text), f"bits for both ({bits}), or as in k3v2")
        k, v = words[text]
        return cls(k, v, window=2 * BLOCK if k == 2 else BLOCK)

    def __str__(self) -> str:
        return f"k{self.key_bits}v{self.value_bits}"

    @property
    def is_packed(self) -> bool:
        """True if a side has fewer than 16 bits."""
        return min(self.key_bits, self.value_bits) < EXACT_BITS

    def check(self, shape: DecoderShape) -> None:
        """Returns where heads of that width can be packed. Raises BadInput."""
        if self.is_packed and shape.head_width % 32:
            raise BadInput(
                "kv_cache", str(self), f"16: heads of {shape.head_width} numbers go into no groups of 32"
            )

    @property
    def key_group(self) -> int:
        """Tokens of one channel that share a scale."""
        return 32 if self.key_bits == 2 else BLOCK

    def value_group(self, head_width: int) -> int:
        """Channels of one token that share a scale."""
        return 32 if self.value_bits == 2 or head_width % BLOCK else BLOCK

    @property
    def key_clip(self) -> float:
        """The part of a group's range that is cut off at each end."""
        return KEY_CLIPS.get(self.key_bits, 0.0)

    @property
    def value_clip(self) -> float:
        """The same of values."""
        return VALUE_CLIPS.get(self.value_bits, 0.0)

    def n_packed(self, position: int) -> int:
        """The number of tokens that are packed when the one at `position` is computed: P(i)."""
        return max(0, position // BLOCK * BLOCK - self.window)

    def size_bytes(self, shape: DecoderShape, n_tokens: int) -> int:
        """True bytes of `n_tokens` in all layers, scales and the ring of exact tokens counted."""
        n_heads = shape.layers * shape.kv_heads
        ring = self.window + BLOCK
        total = 0
        for bits, group in (
            (self.key_bits, self.key_group),
            (self.value_bits, self.value_group(shape.head_width)),
        ):
            if bits == EXACT_BITS:
                total += n_tokens * shape.head_width * 2
                continue
            n_numbers = self.n_packed(max(n_tokens - 1, 0)) * shape.head_width
            total += n_numbers * bits // 8 + n_numbers // group * 4
            total += min(n_tokens, ring) * shape.head_width * 2
        return total * n_heads


def pack_groups(x: FloatArray, bits: int, clip: float = 0.0) -> FloatArray:
    """Pack groups along the last axis: the numbers that codes, scales and minima in fp16 stand for."""
    low = x.min(-1, keepdims=True)
    span = x.max(-1, keepdims=True) - low
    top = np.float32((1 << bits) - 1)
    scale = _half(span * np.float32(1 - 2 * clip) / top)
    minimum = _half(low + span * np.float32(clip))
    codes = np.clip(np.rint((x - minimum) / np.where(scale > 0, scale, 1)), 0, top)
    return np.where(scale > 0, codes, 0) * scale + minimum


def _half(x: FloatArray) -> FloatArray:
    """The numbers, rounded to fp16: the largest stands for what is beyond it."""
    top = np.finfo(np.float16).max
    return np.clip(x, -top, top).astype(np.float16).astype(np.float32)


@dataclass
class _Side:
    """Keys or values of one layer [tokens, kv_heads, head_width]: exact, and as they are once packed."""

    exact: FloatArray
    packed: FloatArray

    def visible(self, n_packed: int, n_tokens: int) -> FloatArray:
        """The numbers of the first `n_tokens` that a token sees."""
        return np.concatenate((self.packed[:n_packed], self.exact[n_packed:n_tokens]))


@dataclass
class PackedCache:
    """Keys and values of one text: the newest exact in fp16, older blocks in few bits."""

    shape: DecoderShape
    format: CacheFormat = field(default_factory=CacheFormat)
    n_tokens: int = 0

    def __post_init__(self) -> None:
        self.format.check(self.shape)
        none = np.zeros((0, self.shape.kv_heads, self.shape.head_width), np.float32)
        self._keys = [_Side(none, none) for _ in range(self.shape.layers)]
        self._values = [_Side(none, none) for _ in range(self.shape.layers)]

    def attend(self, layer: int, q: FloatArray, k: FloatArray, v: FloatArray) -> FloatArray:
        """Attention of new tokens, each block of 64 seeing what is packed when it is computed."""
        keys, values = self._keys[layer], self._values[layer]
        self._append(keys, k, self.format.key_bits, self._pack_keys)
        self._append(values, v, self.format.value_bits, self._pack_values)
        first, end = self.n_tokens, self.n_tokens + len(q)
        cuts = sorted({first, end, *range(-(-first // BLOCK) * BLOCK, end, BLOCK)})
        parts = [
            self._attend_block(q[start - first : stop - first], keys, values, start, stop)
            for start, stop in pairwise(cuts)
        ]
        return np.concatenate(parts)

    def _attend_block(self, q: FloatArray, keys: _Side, values: _Side, start: int, stop: int) -> FloatArray:
        n_packed = self.format.n_packed(start)
        k = keys.visible(0 if self.format.key_bits == EXACT_BITS else n_packed, stop)
        v = values.visible(0 if self.format.value_bits == EXACT_BITS else n_packed, stop)
        hidden = np.arange(stop)[None] > np.arange(start, stop)[:, None]
        return attend_exactly(q, k, v, hidden)

    def _append(self, side: _Side, new: FloatArray, bits: int, pack: Any) -> None:
        side.exact = np.concatenate((side.exact, _half(new)))
        whole = len(side.exact) // BLOCK * BLOCK
        if bits < EXACT_BITS and whole > len(side.packed):
            fresh = side.exact[len(side.packed) : whole]
            blocks = fresh.reshape(-1, BLOCK, *fresh.shape[1:])
            side.packed = np.concatenate((side.packed, pack(blocks).reshape(fresh.shape)))

    def _pack_keys(self, blocks: FloatArray) -> FloatArray:
        """Blocks [n, 64, heads, channels], groups along the tokens."""
        group = self.format.key_group
        channels = blocks.transpose(0, 2, 3, 1)
        groups = channels.reshape(*channels.shape[:3], -1, group)
        packed = pack_groups(groups, self.format.key_bits, self.format.key_clip)
        return packed.reshape(channels.shape).transpose(0, 3, 1, 2)

    def _pack_values(self, blocks: FloatArray) -> FloatArray:
        """Blocks [n, 64, heads, channels], groups along the channels."""
        group = self.format.value_group(self.shape.head_width)
        groups = blocks.reshape(*blocks.shape[:3], -1, group)
        packed = pack_groups(groups, self.format.value_bits, self.format.value_clip)
        return packed.reshape(blocks.shape)

    def advance(self, n_tokens: int) -> None:
        """Counts tokens that went through all layers."""
        self.n_tokens += n_tokens
