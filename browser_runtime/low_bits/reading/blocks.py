"""The block formats of GGUF tensors, back to 32-bit floats.

A row is cut into blocks of 32 or 256 numbers; a block is codes with its own scale, and mostly a minimum.
Source: ggml's `ggml-common.h` and `ggml-quants.c`; held to the `gguf` package's values in the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from browser_runtime.low_bits.arrays import ByteArray, FloatArray
from browser_runtime.low_bits.reading.tensors import widen_bfloat16

# Numbers in a block of the k-quants.
SUPER = 256


@dataclass(frozen=True, slots=True)
class BlockType:
    """One way to write numbers: its name, numbers and bytes a block, and how blocks are read."""

    name: str
    n_numbers: int
    n_bytes: int
    expand: Callable[[ByteArray], FloatArray]
    """From blocks [n, n_bytes] to numbers [n, n_numbers]."""


def _halves(blocks: ByteArray) -> FloatArray:
    """Pairs of bytes as 16-bit floats, [n, 1] from [n, 2]."""
    return np.ascontiguousarray(blocks).view("<f2").astype(np.float32)


def _signed(content: ByteArray) -> FloatArray:
    """Bytes as whole numbers from -128 to 127."""
    numbers: FloatArray = np.ascontiguousarray(content).view(np.int8).astype(np.float32)
    return numbers


def _nibbles(packed: ByteArray) -> FloatArray:
    """The low halves of all bytes, then the high ones."""
    return np.concatenate((packed & 15, packed >> 4), axis=-1).astype(np.float32)


def _fifth_bits(words: ByteArray) -> FloatArray:
    """Bit i of a block's 32-bit word, as 16 where it is set: [n, 32] from [n, 4]."""
    bits: FloatArray = np.unpackbits(words, axis=-1, bitorder="little").astype(np.float32)
    return bits * 16


def _q4_0(blocks: ByteArray) -> FloatArray:
    return _halves(blocks[:, :2]) * (_nibbles(blocks[:, 2:]) - 8)


def _q4_1(blocks: ByteArray) -> FloatArray:
    return _halves(blocks[:, :2]) * _nibbles(blocks[:, 4:]) + _halves(blocks[:, 2:4])


def _q5_0(blocks: ByteArray) -> FloatArray:
    codes = _nibbles(blocks[:, 6:]) + _fifth_bits(blocks[:, 2:6])
    return _halves(blocks[:, :2]) * (codes - 16)


def _q5_1(blocks: ByteArray) -> FloatArray:
    codes = _nibbles(blocks[:, 8:]) + _fifth_bits(blocks[:, 4:8])
    return _halves(blocks[:, :2]) * codes + _halves(blocks[:, 2:4])


def _q8_0(blocks: ByteArray) -> FloatArray:
    numbers: FloatArray = _halves(blocks[:, :2]) * _signed(blocks[:, 2:])
    return numbers


def _pairs(packed: ByteArray, bits: int) -> ByteArray:
    """Codes in runs of 32 bytes: the lowest `bits` of all bytes of a run, then the next, and so on."""
    n_codes, mask = 8 // bits, (1 << bits) - 1
    runs = packed.reshape(len(packed), -1, 1, 32)
    shifts = (np.arange(n_codes, dtype=np.uint8) * bits)[None, None, :, None]
    return ((runs >> shifts) & mask).reshape(len(packed), -1)


def _q2_k(blocks: ByteArray) -> FloatArray:
    packed_scales, codes = blocks[:, :16], _pairs(blocks[:, 16:80], 2)
    scales = _halves(blocks[:, 80:82]) * (packed_scales & 15).astype(np.float32)
    minima = _halves(blocks[:, 82:84]) * (packed_scales >> 4).astype(np.float32)
    numbers: FloatArray = scales[..., None] * codes.reshape(-1, 16, 16) - minima[..., None]
    return numbers.reshape(-1, SUPER)


def _q3_k_scales(packed: ByteArray) -> FloatArray:
    """16 scales of 6 bits in 12 bytes, 32 subtracted: four low bits in 8 bytes, two high ones in 4."""
    low = np.concatenate((packed[:, :8] & 15, packed[:, :8] >> 4), axis=1)
    shifts = np.array([0, 2, 4, 6], np.uint8)[None, :, None]
    high = ((packed[:, None, 8:12] >> shifts) & 3).reshape(-1, 16)
    codes: FloatArray = (low | (high << 4)).astype(np.float32)
    return codes - 32


def _q3_k(blocks: ByteArray) -> FloatArray:
    high = np.repeat(blocks[:, None, :32], 8, axis=1) >> np.arange(8, dtype=np.uint8)[None, :, None] & 1
    codes = _pairs(blocks[:, 32:96], 2).astype(np.float32) - 4 * (
        1 - high.reshape(-1, SUPER).astype(np.float32)
    )
    scales = _halves(blocks[:, 108:110]) * _q3_k_scales(blocks[:, 96:108])
    numbers: FloatArray = scales[..., None] * codes.reshape(-1, 16, 16)
    return numbers.reshape(-1, SUPER)


def _q4_k_scales(packed: ByteArray) -> tuple[FloatArray, FloatArray]:
    """8 scales and 8 minima of 6 bits in 12 bytes."""
    first, second, rest = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = np.concatenate((first & 63, (rest & 15) | ((first >> 6) << 4)), axis=1)
    minima = np.concatenate((second & 63, (rest >> 4) | ((second >> 6) << 4)), axis=1)
    return scales.astype(np.float32), minima.astype(np.float32)


def _scaled_eighths(blocks: ByteArray, codes: FloatArray) -> FloatArray:
    """Codes [n, 256] with the head that Q4_K and Q5_K share: a scale and a minimum for each 32."""
    scales, minima = _q4_k_scales(blocks[:, 4:16])
    scales, minima = scales * _halves(blocks[:, :2]), minima * _halves(blocks[:, 2:4])
    return (scales[..., None] * codes.reshape(-1, 8, 32) - minima[..., None]).reshape(-1, SUPER)


def _q4_k_codes(packed: ByteArray) -> FloatArray:
    """Four runs of 32 bytes: the low halves of a run are 32 codes, the high halves the next 32."""
    return _pairs(packed, 4).astype(np.float32)


def _q4_k(blocks: ByteArray) -> FloatArray:
    return _scaled_eighths(blocks, _q4_k_codes(blocks[:, 16:]))


def _q5_k(blocks: ByteArray) -> FloatArray:
    high = np.repeat(blocks[:, None, 16:48], 8, axis=1) >> np.arange(8, dtype=np.uint8)[None, :, None] & 1
    codes = _q4_k_codes(blocks[:, 48:]) + 16 * high.reshape(-1, SUPER).astype(np.float32)
    return _scaled_eighths(blocks, codes)


def _q6_k(blocks: ByteArray) -> FloatArray:
    runs = blocks[:, :128].reshape(-1, 2, 64)
    low = np.concatenate((runs & 15, runs >> 4), axis=2).reshape(-1, SUPER)
    high = _pairs(blocks[:, 128:192], 2)
    codes = (low | (high << 4)).astype(np.float32) - 32
    scales = _signed(blocks[:, 192:208]) * _halves(blocks[:, 208:])
    numbers: FloatArray = scales[..., None] * codes.reshape(-1, 16, 16)
    return numbers.reshape(-1, SUPER)


def _f32(blocks: ByteArray) -> FloatArray:
    return np.ascontiguousarray(blocks).view("<f4")


def _bf16(blocks: ByteArray) -> FloatArray:
    return widen_bfloat16(np.ascontiguousarray(blocks).view("<u2"))


TYPES = {
    0: BlockType("F32", 1, 4, _f32),
    1: BlockType("F16", 1, 2, _halves),
    2: BlockType("Q4_0", 32, 18, _q4_0),
    3: BlockType("Q4_1", 32, 20, _q4_1),
    6: BlockType("Q5_0", 32, 22, _q5_0),
    7: BlockType("Q5_1", 32, 24, _q5_1),
    8: BlockType("Q8_0", 32, 34, _q8_0),
    10: BlockType("Q2_K", SUPER, 84, _q2_k),
    11: BlockType("Q3_K", SUPER, 110, _q3_k),
    12: BlockType("Q4_K", SUPER, 144, _q4_k),
    13: BlockType("Q5_K", SUPER, 176, _q5_k),
    14: BlockType("Q6_K", SUPER, 210, _q6_k),
    30: BlockType("BF16", 1, 2, _bf16),
}
"""By the number that ggml gives each type."""


def expand(kind: BlockType, content: bytes) -> FloatArray:
    """The numbers of whole blocks, in one row."""
    blocks = np.frombuffer(content, np.uint8).reshape(-1, kind.n_bytes)
    return kind.expand(blocks).reshape(-1)
