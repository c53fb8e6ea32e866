"""The case table of `page/kernels/cases.js`, each computed natively beside NumPy in float64.

Tolerances are those of the page's table. What a device rounded to few bits itself (activations, packed
blocks) is read back, compared with its rounding's own bound, then taken as it is: its division may be off.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from device import Array, Native
from table import PRODUCTS, ROPES, ROWS, product_name, rope_name, rows_name

sys.path.insert(0, str(Path(__file__).parents[2]))
from browser_runtime.low_bits import packing  # the sources beside this script, not an installed package

U = 2.0**-24
CHOOSING = ((2, 4096, 2048, 1), (2, 1024, 1024, 32))
"""What variants are chosen by: bits, rows, columns, tokens."""


@dataclass(frozen=True)
class Outcome:
    """One case and its largest error, in units of what is allowed."""

    name: str
    error: float


def padded(x: Array, multiple: int = 64) -> Array:
    """Rows filled up with zeros."""
    return np.pad(x, ((0, 0), (0, -x.shape[1] % multiple))).astype(np.float32)


def make_matrix(bits: int, rows: int, columns: int, seed: int) -> tuple[bytes, Array, Array]:
    """A matrix by chance: its bytes, its numbers, and the sizes of its minima, float64 [rows, columns]."""
    chance = np.random.default_rng(seed)
    if bits >= 16:
        numbers = chance.standard_normal((rows, columns)).astype(np.float32)
        content = packing.pack_floats(numbers, bits)
        numbers = packing.unpack_floats(content, bits, rows, columns)
        return content, numbers.astype(np.float64), np.zeros((rows, columns))
    groups = -(-columns // 32)
    half = lambda low, high, shape: chance.uniform(low, high, shape).astype(np.float16).astype(np.float32)  # noqa: E731
    if bits == 8:
        codes = chance.integers(-127, 128, (rows, columns)).astype(np.int8)
        matrix8 = packing.ByteMatrix(codes, half(0.001, 0.011, (rows, groups)))
        return matrix8.pack(), matrix8.expand().astype(np.float64), np.zeros((rows, columns))
    codes = chance.integers(0, 2**bits, (rows, columns)).astype(np.uint8)
    cs, cm = (chance.integers(0, 64, (rows, groups)).astype(np.uint8) for _ in range(2))
    matrix = packing.CodedMatrix(bits, codes, cs, cm, half(0.0005, 0.0015, rows), half(-0.003, -0.001, rows))
    minima = np.repeat(matrix.row_minima[:, None].astype(np.float64) * cm, 32, axis=1)[:, :columns]
    scales = np.repeat(matrix.row_scales[:, None].astype(np.float64) * cs, 32, axis=1)[:, :columns]
    return matrix.pack(), scales * codes + minima, np.abs(minima)


class Product:
    """Y = X W^T on the device."""

    def __init__(self, native: Native, case: tuple[int, int, int, int], content: bytes) -> None:
        self.native = native
        self.bits, self.rows, self.columns, self.tokens = case
        self.tiles, self.blocks = -(-self.columns // 64), -(-self.rows // 4)
        self.stride = -(-self.rows // 64) * 64
        self.words = native.buffer(np.frombuffer(content, np.uint8))
        n = self.tokens * 64 * self.tiles
        self.codes, self.scales = native.buffer(n), native.buffer(n // 4)
        self.out = native.buffer(4 * self.tokens * self.stride)
        self.x = native.buffer(4 * n)

    def write(self, x: Array) -> None:
        """Numbers float32 [tokens, columns]."""
        self.native.device.queue.write_buffer(self.x, 0, padded(x).tobytes())

    def quantize(self) -> None:
        """Activations as int8, where the matrix has few bits."""
        count = self.tokens * 2 * self.tiles
        buffers = [self.x, self.codes, self.scales]
        self.native.record("quantize", "main", {}, [count], buffers, [-(-count // 64)])

    def multiply(self) -> None:
        """The product itself."""
        if self.bits >= 16:
            params = [self.tiles, self.rows, self.stride, self.tokens]
            at_once = 4 if self.tokens > 1 else 1
            groups = [-(-self.rows // 64), -(-self.tokens // at_once)]
            buffers = [self.words, self.x, self.out]
            constants = {"BITS": self.bits, "TOKENS": at_once}
            self.native.record("matfloat", "main", constants, params, buffers, groups)
            return
        high, groups_at, rows_at = self._sections()
        params = [self.tiles, self.blocks, self.tokens, self.stride // 4, high, groups_at, rows_at]
        entry = self.native.variant.entry
        is_split = entry == "split"
        in_x = min(self.blocks, 32768) if is_split else -(-self.blocks // 64)
        in_y = 1 if self.tokens == 1 else -(-self.tokens // 4)
        groups = [in_x, in_y, -(-self.blocks // 32768) if is_split else 1]
        file = "matvec" if self.tokens == 1 else "matmul"
        buffers = [self.words, self.words, self.codes, self.scales, self.out]
        self.native.record(file, entry, {"BITS": self.bits}, params, buffers, groups)

    def _sections(self) -> tuple[int, int, int]:
        """Where the high plane begins in vec4, groups and rows in words."""
        sizes = [packing.align(size) for size in packing.section_bytes(self.bits, self.rows, self.columns)]
        if self.bits == 8:
            return 0, sizes[0] // 4, 0
        before_groups = sum(sizes[:-2])
        return sizes[0] // 16, before_groups // 4, (before_groups + sizes[-2]) // 4

    def inputs(self, x: Array) -> tuple[Array, float]:
        """The numbers that the device multiplies with; and how wrong their rounding is, at most 1."""
        if self.bits >= 16:
            return x.astype(np.float64), 0.0
        n = self.tokens * 64 * self.tiles
        codes = self.native.read(self.codes, np.int8, n).reshape(-1, 32).astype(np.float64)
        scales = self.native.read(self.scales, np.float32, n // 16).reshape(-1, 2).astype(np.float64)
        exact = padded(x).reshape(-1, 32).astype(np.float64)
        largest = np.abs(exact).max(1)
        wrong = np.abs(scales[:, 0] - largest / 127) / (4 * U * largest + 1e-30)
        # Half a step, and what the scale's own rounding moves 127 steps by.
        steps = np.abs(codes * scales[:, :1] - exact) / ((0.5 + 127 * 8 * U) * scales[:, :1] + 1e-30)
        numbers = (codes * scales[:, :1]).reshape(self.tokens, -1)[:, : self.columns]
        return numbers, float(max(wrong.max(), steps.max()))


def check_product(native: Native, case: tuple[int, int, int, int]) -> Outcome:
    """A product beside its twin."""
    bits, rows, columns, tokens = case
    content, w, minima = make_matrix(bits, rows, columns, bits + rows)
    x = np.random.default_rng(columns).standard_normal((tokens, columns)).astype(np.float32)
    product = Product(native, case, content)
    product.write(x)
    if bits < 16:
        product.quantize()
    product.multiply()
    native.submit()
    inputs, error = product.inputs(x)
    got = native.read(product.out, np.float32, tokens * product.stride).reshape(tokens, -1)[:, :rows]
    sizes = np.abs(inputs) @ (np.abs(w) + 2 * minima).T
    terms = columns / 32 + 8 if bits < 16 else columns + 2
    error = max(error, float(np.max(np.abs(got - inputs @ w.T) / (terms * U * sizes + 1e-30))))
    return Outcome(product_name(*case), error)


def check_rows(native: Native, kind: str, columns: int, tokens: int) -> Outcome:
    """RMSNorm, or SiLU times another row."""
    chance = np.random.default_rng(columns)
    a, b = (chance.standard_normal((tokens, columns)).astype(np.float32) for _ in range(2))
    a *= 3
    x, y = native.buffer(padded(a)), native.buffer(padded(b))
    stride = -(-columns // 64) * 64
    exact = a.astype(np.float64)
    if kind == "norm":
        weight = native.buffer(padded(b[:1]))
        picks = native.buffer(np.arange(tokens, dtype=np.uint32))
        native.record("norm", "main", {}, [columns, stride, stride, 1e-5], [weight, picks, x, y], [tokens])
        wanted = exact / np.sqrt((exact**2).mean(1, keepdims=True) + 1e-5) * b[:1]
        out, units = y, columns / 2 + 6
    else:
        count = tokens * stride // 4
        native.record("elementwise", "silu", {}, [count, stride // 4], [y, x], [-(-count // 64)])
        wanted = exact / (1 + np.exp(-exact)) * b
        out, units = x, 32
    native.submit()
    got = native.read(out, np.float32, tokens * stride).reshape(tokens, -1)[:, :columns]
    error = np.max(np.abs(got - wanted) / (units * U * np.abs(wanted) + 1e-30))
    return Outcome(rows_name(kind, columns, tokens), float(error))


def check_rope(native: Native, heads: int, width: int, pairs: int, tokens: int) -> Outcome:
    """RoPE of all or a part of each head."""
    x = np.random.default_rng(width).standard_normal((tokens, heads * width)).astype(np.float32)
    angles = np.arange(3, 3 + tokens)[:, None] * 10000.0 ** (-np.arange(pairs) / pairs)
    table = np.concatenate([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    step = np.array([[0, n, n, 0] for n in range(tokens)], np.uint32)
    buffers = [native.buffer(table), native.buffer(step), native.buffer(padded(x))]
    stride = -(-heads * width // 64) * 64
    native.record(
        "rope", "main", {}, [pairs, heads, width, stride], buffers, [-(-heads * pairs // 64), tokens]
    )
    native.submit()
    got = native.read(buffers[2], np.float32, tokens * stride).reshape(tokens, -1)[:, : heads * width]
    wanted = x.astype(np.float64).reshape(tokens, heads, width).copy()
    first, second = wanted[..., :pairs].copy(), wanted[..., pairs : 2 * pairs].copy()
    c, s = (half[:, None].astype(np.float64) for half in np.split(table, 2, axis=1))
    wanted[..., :pairs], wanted[..., pairs : 2 * pairs] = first * c - second * s, second * c + first * s
    error = np.max(np.abs(got - wanted.reshape(tokens, -1))) / (3 * U * 8)
    return Outcome(rope_name(heads, width, pairs, tokens), float(error))


def checks(native: Native) -> Iterator[Outcome]:
    """Every case but those of attention."""
    yield from (check_product(native, case) for case in PRODUCTS)
    yield from (check_rows(native, *case) for case in ROWS)
    yield from (check_rope(native, *case) for case in ROPES)


def time_product(
    native: Native, case: tuple[int, int, int, int], copy_bytes_per_s: float, wanted_s: float
) -> dict[str, Any]:
    """How long a product takes by itself, many in one submission; its weights' bytes a second."""
    content, _, _ = make_matrix(case[0], 4, case[2], 1)
    size = packing.tensor_bytes(case[0], (case[1], case[2]))
    # Only the time matters: the few rows' bytes again and again.
    many = np.resize(np.frombuffer(content, np.uint8), size).tobytes()
    product = Product(native, case, many)
    product.write(np.ones((case[3], case[2]), np.float32))
    if case[0] < 16:
        product.quantize()
        native.submit()
    product.multiply()
    once = min(native.submit(2, keep=True) for _ in range(2)) / 2
    times = max(3, min(500, int(wanted_s / 5 / once)))
    samples = sorted(native.submit(times, keep=True) / times for _ in range(5))
    native.forget()
    rate = size / samples[0]
    return {
        "name": product_name(*case),
        "ms": round(1000 * samples[0], 4),
        "p50_ms": round(1000 * samples[2], 4),
        "gb_per_s": round(rate / 1e9, 2),
        "share_of_copy": round(rate / copy_bytes_per_s, 3),
    }
