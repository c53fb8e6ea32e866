"""Append, pack and attend: the cache of keys and values on the device beside NumPy in float64."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from cases import Outcome, U, padded
from device import Array, Native
from table import ATTENTIONS, attention_name

CONTEXT, SLOTS, BLOCK = 320, 2, 64


@dataclass(frozen=True)
class Block:
    """A packed block of 64 tokens of one head; offsets in bytes."""

    bits: int
    rows: int
    columns: int
    clip: float
    """Part of a group's range that is cut off at each end."""

    @property
    def group(self) -> int:
        """Rows of a column that share a scale."""
        return 32 if self.bits == 2 or self.rows % 64 else 64

    @property
    def high(self) -> int:
        """Where the high plane begins."""
        return (128 if self.bits == 8 else 32) * (self.rows // 4) * (self.columns // 32)

    @property
    def scales(self) -> int:
        """Where the scales begin."""
        return self.high + {3: 16, 4: 32}.get(self.bits, 0) * (self.rows // 4) * (self.columns // 32)

    @property
    def minima(self) -> int:
        """Where the minima begin."""
        return self.scales + self.rows // self.group * self.columns * 2

    @property
    def size_bytes(self) -> int:
        """The block's bytes."""
        return 2 * self.minima - self.scales

    def unpack(self, content: Array) -> tuple[Array, Array]:
        """The numbers [rows, columns] of a block's bytes, and each one's scale."""
        rows, columns = self.rows // 4, self.columns // 32
        if self.bits == 8:
            q = content[: self.high].reshape(rows, columns, 8, 4, 4).transpose(0, 3, 1, 2, 4)
        else:
            planes = np.arange(4, dtype=np.uint8)
            low = content[: self.high].reshape(rows, columns, 2, 4, 1, 4)  # block, group, a, row, p, c
            codes = (low >> (2 * planes)[:, None]) & 3
            high = content[self.high : self.scales]
            if self.bits == 4:
                codes |= ((high.reshape(low.shape) >> (2 * planes)[:, None]) & 3) << 2
            if self.bits == 3:
                a = np.arange(2, dtype=np.uint8)[:, None]
                shifts = (4 * (planes >> 1) + (planes & 1) + 2 * a)[:, None, :, None]
                codes |= ((high.reshape(rows, columns, 1, 4, 1, 4) >> shifts) & 1) << 2
            q = codes.transpose(0, 3, 1, 2, 4, 5)
        q = q.reshape(self.rows, self.columns).astype(np.float64)
        s, m = (
            content[self.scales : self.size_bytes].view("<f2").astype(np.float64).reshape(2, -1, self.columns)
        )
        scale = np.repeat(s, self.group, axis=0)
        return scale * q + np.repeat(m, self.group, axis=0), scale


class Side:
    """Keys or values of a cache of one layer; offsets in bytes."""

    def __init__(self, bits: int, is_keys: bool, width: int, window: int) -> None:
        self.bits, self.is_keys, self.width = bits, is_keys, width
        clip = {2: 1 / 32 if is_keys else 3 / 32, 3: 1 / 32}.get(bits, 0.0)
        self.block = Block(bits, 64 if is_keys else width, width if is_keys else 64, clip)
        self.places = CONTEXT if bits == 16 else min(window + BLOCK, CONTEXT)
        n_blocks = 0 if bits == 16 else (CONTEXT - window) // BLOCK
        self.ring_bytes = 2 * width * self.places
        size = self.ring_bytes + (0 if bits == 16 else n_blocks * self.block.size_bytes)
        self.head_bytes = -(-size // 64) * 64

    def params(self, first: int) -> list[int]:
        """What attend.wgsl calls a Side."""
        sizes = (0,) * 4
        if self.bits < 16:
            sizes = (self.block.size_bytes, self.block.high, self.block.scales, self.block.minima)
        ring = [self.places, first // 4, (first + self.ring_bytes) // 4]
        return [*ring, *(size // 4 for size in sizes), self.block.group]

    def numbers(self, content: Array, exact: Array, packed: int) -> tuple[Array, float]:
        """What a head's bytes stand for, [tokens, width]; and how wrong packing is, at most 1."""
        halves = exact.astype(np.float16).astype(np.float64)
        found, worst = halves.copy(), 0.0
        for n in range(packed // BLOCK if self.bits < 16 else 0):
            start = self.ring_bytes + n * self.block.size_bytes
            numbers, scale = self.block.unpack(content[start : start + self.block.size_bytes])
            numbers, scale = (numbers, scale) if self.is_keys else (numbers.T, scale.T)
            wanted = halves[n * BLOCK : (n + 1) * BLOCK]
            # Half a step; fp16 of the step moves the last of 2^bits - 1 steps, fp16 of the minimum all.
            cut = self.block.clip / (1 - 2 * self.block.clip) * (2**self.bits - 1)
            slack = 2.0**-11 * (np.abs(wanted) + 2 ** (self.bits + 1) * scale) + max(0.501, cut) * scale
            worst = max(worst, float((np.abs(numbers - wanted) / slack).max()))
            found[n * BLOCK : (n + 1) * BLOCK] = numbers
        return found, worst


def check_attention(
    native: Native, kv: tuple[int, int], tokens: int, heads: tuple[int, int, int], window: int | None = None
) -> Outcome:
    """The last of `tokens` over a cache that was filled in pieces, as a prompt is."""
    n_heads, kv_heads, width = heads
    window = (128 if kv[0] == 2 else 64) if window is None else window
    keys, values = Side(kv[0], True, width, window), Side(kv[1], False, width, window)
    head_bytes = keys.head_bytes + values.head_bytes
    chance = np.random.default_rng(tokens + width)
    k, v = (chance.standard_normal((tokens, kv_heads * width)).astype(np.float32) for _ in range(2))
    q = chance.standard_normal((1, n_heads * width)).astype(np.float32)
    cache = native.buffer(SLOTS * kv_heads * head_bytes)
    sides = ((keys, k, 0), (values, v, keys.head_bytes))
    words = (kv_heads * head_bytes // 4, head_bytes // 4)
    for first in range(0, tokens, BLOCK):
        count = min(BLOCK, tokens - first)
        step = np.array([[1, first + n, 0, 0] for n in range(count)], np.uint32)
        for side, x, start in sides:
            _append(native, side, x[first : first + count], step, cache, words, start)
        block = (first + BLOCK - window) // BLOCK - 1
        if count == BLOCK and block >= 0:
            for side, _, start in sides:
                _pack(native, side, cache, words, start, kv_heads, block)
        native.submit()
    stride = -(-n_heads * width // 64) * 64
    last = native.buffer(np.array([[1, tokens - 1, 0, 0]], np.uint32))
    out, scores = native.buffer(4 * stride), native.buffer(4 * n_heads * CONTEXT)
    params = [n_heads, n_heads // kv_heads, width, stride, *words, window, CONTEXT]
    params += keys.params(0) + values.params(keys.head_bytes)
    constants = {"K_BITS": kv[0], "V_BITS": kv[1]}
    native.record(
        "attend",
        "main",
        constants,
        params,
        [last, native.buffer(padded(q)), cache, scores, out],
        [n_heads, 1],
    )
    native.submit()
    got = native.read(out, np.float32, n_heads * width).reshape(n_heads, width)
    content = native.read(cache, np.uint8, SLOTS * kv_heads * head_bytes).reshape(SLOTS, kv_heads, -1)[1]
    packed = max(0, (tokens - 1) // BLOCK * BLOCK - window)
    return Outcome(attention_name(kv, tokens, heads), _compare(got, content, q, k, v, (keys, values), packed))


def _append(
    native: Native, side: Side, x: Array, step: Array, cache: object, words: tuple[int, int], start: int
) -> None:
    count = x.shape[1] // 2
    rows = padded(x)
    params = [count, rows.shape[1], side.width, side.places, *words, start // 4]
    buffers = [native.buffer(step), native.buffer(rows), cache]
    native.record("append", "main", {}, params, buffers, [-(-count // 64), len(step)])


def _pack(
    native: Native, side: Side, cache: object, words: tuple[int, int], start: int, kv_heads: int, block: int
) -> None:
    if side.bits == 16:
        return
    layout = side.block
    source = block * BLOCK % side.places * side.width // 2
    target = (side.ring_bytes + block * layout.size_bytes) // 4
    shape = [layout.rows, layout.columns, layout.group, int(side.is_keys), words[1], words[0] + start // 4]
    params = [*shape, source, target, layout.high // 4, layout.scales // 4, layout.minima // 4]
    constants = {"BITS": side.bits, "CLIP": layout.clip}
    pairs = layout.rows // layout.group * layout.columns // 2
    native.record("pack", "scales", constants, params, [cache], [-(-pairs // 64), 1, kv_heads])
    rows = layout.rows * layout.columns // 32
    native.record("pack", "codes", constants, params, [cache], [-(-rows // 64), 1, kv_heads])


def _compare(
    got: Array, content: Array, q: Array, k: Array, v: Array, sides: tuple[Side, Side], packed: int
) -> float:
    """The largest error in units of what cases.js allows."""
    keys, values = sides
    width, tokens = keys.width, len(k)
    kv_heads = len(content)
    score_error = (width + 3) * U * 36 * width / np.sqrt(width)
    allowed = 2 * score_error * 6 + (tokens + 8) * U * 6
    worst = 0.0
    for head, query in enumerate(q.astype(np.float64).reshape(-1, width)):
        own = head * kv_heads // len(got)
        columns = slice(own * width, (own + 1) * width)
        key, wrong_k = keys.numbers(content[own], k[:, columns], packed)
        value, wrong_v = values.numbers(content[own][keys.head_bytes :], v[:, columns], packed)
        scores = key @ query / np.sqrt(width)
        weights = np.exp(scores - scores.max())
        wanted = weights / weights.sum() @ value
        worst = max(worst, wrong_k, wrong_v, float(np.abs(got[head] - wanted).max() / allowed))
    return worst


def attention_checks(native: Native) -> Iterator[Outcome]:
    """Every case of attention."""
    yield from (check_attention(native, *case) for case in ATTENTIONS)
