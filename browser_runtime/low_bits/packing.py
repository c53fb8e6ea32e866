"""Matrices of 2, 3, 4, 8, 16 or 32 bits to bytes and back, in the layout of `page/kernels/README.md`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from browser_runtime.low_bits.arrays import ByteArray, FloatArray

BITS = (2, 3, 4, 8, 16, 32)
CODED_BITS = (2, 3, 4)
"""Those with a scale and a minimum of 6 bits a group."""
GROUP = 32
TILE = 64
ROWS = 4
ALIGNMENT = 64
TOP_CODE = 127
"""The largest code at 8 bits; -128 has no partner, and is left out."""
FLOATS: dict[int, np.dtype[Any]] = {16: np.dtype("<f2"), 32: np.dtype("<f4")}


@dataclass(frozen=True, slots=True)
class CodedMatrix:
    """A matrix [N, K] of 2, 3 or 4 bits: w = S cs q + M cm."""

    bits: int
    codes: ByteArray
    """q [N, K]."""
    scales: ByteArray
    """cs [N, groups], 6 bits."""
    minima: ByteArray
    """cm [N, groups], 6 bits."""
    row_scales: FloatArray
    """S [N], representable in fp16."""
    row_minima: FloatArray
    """M [N], representable in fp16."""

    def expand(self) -> FloatArray:
        """The numbers [N, K] that the matrix stands for."""
        scale = np.repeat(self.row_scales[:, None] * self.scales, GROUP, axis=1)[:, : self.codes.shape[1]]
        low = np.repeat(self.row_minima[:, None] * self.minima, GROUP, axis=1)[:, : self.codes.shape[1]]
        return (scale * self.codes + low).astype(np.float32)

    def rows(self, start: int, stop: int) -> CodedMatrix:
        """The matrix of some of the rows."""
        part = slice(start, stop)
        factors = (self.scales[part], self.minima[part], self.row_scales[part], self.row_minima[part])
        return CodedMatrix(self.bits, self.codes[part], *factors)

    def pack(self) -> bytes:
        """The tensor's bytes."""
        k = self.codes.shape[1]
        tiles = _tile(self.codes).reshape(-1, _tiles_of(k), ROWS, 4, 4, 4)  # block, tile, row, a, p, c
        low = _join((tiles & 3).transpose(0, 1, 3, 2, 5, 4), 2)
        sections = [low]
        if self.bits == 4:
            sections.append(_join((tiles >> 2).transpose(0, 1, 3, 2, 5, 4), 2))
        if self.bits == 3:
            halves = (tiles >> 2).reshape(*tiles.shape[:3], 2, 2, 2, 2, 4)
            # ..., a // 2, a % 2, p // 2, p % 2, c: in a byte p // 2 counts 4, a % 2 counts 2, p % 2 counts 1.
            spread = halves.transpose(0, 1, 3, 2, 7, 5, 4, 6)
            sections.append(_join(spread.reshape(*spread.shape[:5], 8), 1))
        sections += [_pack_groups(self.scales, self.minima), _pack_rows(self.row_scales, self.row_minima)]
        return join_sections(sections)

    @classmethod
    def unpack(cls, content: bytes, bits: int, n: int, k: int) -> CodedMatrix:
        """The matrix in a tensor's bytes."""
        parts = split_sections(content, section_bytes(bits, n, k))
        n_tiles = _tiles_of(k)
        q = _spread(parts[0].reshape(-1, n_tiles, 4, ROWS, 4), 2)  # block, tile, a, row, c, p
        if bits == 4:
            q |= _spread(parts[1].reshape(-1, n_tiles, 4, ROWS, 4), 2) << 2
        codes = q.transpose(0, 1, 3, 2, 5, 4)  # block, tile, row, a, p, c
        if bits == 3:
            spread = _spread(parts[1].reshape(-1, n_tiles, 2, ROWS, 4), 1)
            halves = spread.reshape(*spread.shape[:5], 2, 2, 2).transpose(0, 1, 3, 2, 6, 5, 7, 4)
            codes = codes | (halves.reshape(codes.shape) << 2)
        scales, minima = _unpack_groups(parts[-2], n_tiles)
        factors = parts[-1].view("<f2").astype(np.float32).reshape(-1, 2, ROWS)
        return cls(
            bits,
            _untile(codes.reshape(-1, n_tiles, ROWS, TILE), n, k),
            _crop(scales, n, k),
            _crop(minima, n, k),
            factors[:, 0].reshape(-1)[:n],
            factors[:, 1].reshape(-1)[:n],
        )


@dataclass(frozen=True, slots=True)
class ByteMatrix:
    """A matrix [N, K] of 8 bits: w = s q."""

    codes: np.ndarray[Any, np.dtype[np.int8]]
    """q [N, K]."""
    scales: FloatArray
    """s [N, groups], representable in fp16."""

    def expand(self) -> FloatArray:
        """The numbers [N, K] that the matrix stands for."""
        scale = np.repeat(self.scales, GROUP, axis=1)[:, : self.codes.shape[1]]
        return (scale * self.codes).astype(np.float32)

    def pack(self) -> bytes:
        """The tensor's bytes."""
        n_tiles = _tiles_of(self.codes.shape[1])
        tiles = _tile(self.codes.view(np.uint8)).reshape(-1, n_tiles, ROWS, 16, 4).transpose(0, 1, 3, 2, 4)
        scales = _tile_groups(self.scales.astype("<f2")).transpose(0, 2, 3, 1)  # block, tile, h, row
        return join_sections([np.ascontiguousarray(tiles), np.ascontiguousarray(scales)])

    @classmethod
    def unpack(cls, content: bytes, n: int, k: int) -> ByteMatrix:
        """The matrix in a tensor's bytes."""
        codes, scales = split_sections(content, section_bytes(8, n, k))
        n_tiles = _tiles_of(k)
        tiles = (
            codes.reshape(-1, n_tiles, 16, ROWS, 4).transpose(0, 1, 3, 2, 4).reshape(-1, n_tiles, ROWS, TILE)
        )
        halves = scales.view("<f2").astype(np.float32).reshape(-1, n_tiles, 2, ROWS)
        groups = halves.transpose(0, 3, 1, 2).reshape(-1, 2 * n_tiles)
        return cls(_untile(tiles, n, k).view(np.int8), groups[:n, : -(-k // GROUP)])

    @classmethod
    def round(cls, numbers: FloatArray) -> ByteMatrix:
        """The nearest matrix: each group's largest number is its largest code."""
        n, k = numbers.shape
        groups = np.pad(numbers, ((0, 0), (0, -k % GROUP))).reshape(n, -1, GROUP)
        scales = (np.abs(groups).max(-1) / TOP_CODE).astype(np.float16).astype(np.float32)
        divisors = np.where(scales > 0, scales, 1)[..., None]
        codes = np.where(scales[..., None] > 0, np.rint(groups / divisors), 0)
        codes = np.clip(codes, -TOP_CODE, TOP_CODE).astype(np.int8).reshape(n, -1)
        return cls(np.ascontiguousarray(codes[:, :k]), scales)


def pack_floats(numbers: FloatArray, bits: int) -> bytes:
    """A matrix of 16 or 32 bits, or a vector of 32: each row filled up to whole tiles."""
    rows = numbers.reshape(-1, numbers.shape[-1])
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % TILE))).astype(FLOATS[bits]).tobytes()


def unpack_floats(content: bytes, bits: int, n: int, k: int) -> FloatArray:
    """The matrix in a tensor's bytes."""
    return np.frombuffer(content, FLOATS[bits]).reshape(n, -1)[:, :k].astype(np.float32)


def unpack(content: bytes, bits: int, shape: tuple[int, ...]) -> FloatArray:
    """The numbers of a tensor of any bits, in its shape."""
    n, k = (1, *shape)[-2:]
    if bits in FLOATS:
        return unpack_floats(content, bits, n, k).reshape(shape)
    matrix = ByteMatrix.unpack(content, n, k) if bits == 8 else CodedMatrix.unpack(content, bits, n, k)
    return matrix.expand()


def section_bytes(bits: int, n: int, k: int) -> tuple[int, ...]:
    """The bytes of each section of a matrix [n, k], not filled up."""
    if bits in FLOATS:
        return (n * _tiles_of(k) * TILE * FLOATS[bits].itemsize,)
    n_blocks = -(-n // ROWS)
    n_tiles = n_blocks * _tiles_of(k)
    if bits == 8:
        return (256 * n_tiles, 16 * n_tiles)
    high = {2: (), 3: (32 * n_tiles,), 4: (64 * n_tiles,)}[bits]
    return (64 * n_tiles, *high, 12 * n_tiles, 16 * n_blocks)


def tensor_bytes(bits: int, shape: tuple[int, ...]) -> int:
    """The size of a tensor, its sections filled up."""
    n, k = (1, *shape)[-2:]
    return sum(align(size) for size in section_bytes(bits, n, k))


def align(size_bytes: int) -> int:
    """The size, filled up to whole 64 bytes."""
    return -(-size_bytes // ALIGNMENT) * ALIGNMENT


def join_sections(sections: Sequence[np.ndarray[Any, Any]]) -> bytes:
    """The sections one after another, each filled up."""
    contents = [np.ascontiguousarray(section).tobytes() for section in sections]
    return b"".join(content.ljust(align(len(content)), b"\0") for content in contents)


def split_sections(content: bytes, sizes: Sequence[int]) -> list[ByteArray]:
    """The sections of these sizes."""
    found, start = [], 0
    for size in sizes:
        found.append(np.frombuffer(content, np.uint8, size, start))
        start += align(size)
    return found


def _tiles_of(k: int) -> int:
    return -(-k // TILE)


def _tile(codes: ByteArray) -> ByteArray:
    """ByteArray [N, K] as [row blocks, tiles, 4 rows, 64 columns], zeros where there are none."""
    n, k = codes.shape
    padded = np.pad(codes, ((0, -n % ROWS), (0, -k % TILE)))
    return padded.reshape(-1, ROWS, _tiles_of(k), TILE).transpose(0, 2, 1, 3)


def _untile(tiles: ByteArray, n: int, k: int) -> ByteArray:
    blocks, n_tiles = tiles.shape[:2]
    rows = tiles.transpose(0, 2, 1, 3).reshape(blocks * ROWS, n_tiles * TILE)
    return np.ascontiguousarray(rows[:n, :k])


def _join(fields: ByteArray, width: int) -> ByteArray:
    """Bytes of the last axis' numbers, each `width` bits, the first lowest."""
    shifts = np.arange(fields.shape[-1], dtype=np.uint8) * width
    joined: ByteArray = np.bitwise_or.reduce(fields << shifts.astype(np.uint8), axis=-1).astype(np.uint8)
    return joined


def _spread(content: ByteArray, width: int) -> ByteArray:
    """The numbers in bytes, as a new last axis; the reverse of `_join`."""
    shifts = (np.arange(8 // width) * width).astype(np.uint8)
    return (content[..., None] >> shifts) & np.uint8((1 << width) - 1)


def _tile_groups(groups: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A number for each group [N, groups] as [row blocks, 4 rows, tiles, 2]."""
    n, n_groups = groups.shape
    padded = np.pad(groups, ((0, -n % ROWS), (0, n_groups % 2)))
    return padded.reshape(-1, ROWS, padded.shape[1] // 2, 2)


def _pack_groups(scales: ByteArray, minima: ByteArray) -> ByteArray:
    s, m = (_tile_groups(each).astype(np.uint32) for each in (scales, minima))
    words = s[..., 0] | s[..., 1] << 6 | m[..., 0] << 12 | m[..., 1] << 18
    words = np.ascontiguousarray(words.transpose(0, 2, 1)).astype("<u4")  # block, tile, row
    return words.view(np.uint8).reshape(*words.shape, 4)[..., :3]


def _unpack_groups(content: ByteArray, n_tiles: int) -> tuple[ByteArray, ByteArray]:
    words = np.pad(content.reshape(-1, 3), ((0, 0), (0, 1))).reshape(-1).view("<u4")
    numbers = (words.reshape(-1, n_tiles, ROWS, 1) >> np.array([0, 6, 12, 18], np.uint32)) & 63
    rows = numbers.astype(np.uint8).transpose(0, 2, 1, 3).reshape(-1, n_tiles, 4)
    return rows[..., :2].reshape(len(rows), -1), rows[..., 2:].reshape(len(rows), -1)


def _crop(groups: ByteArray, n: int, k: int) -> ByteArray:
    return groups[:n, : -(-k // GROUP)]


def _pack_rows(row_scales: FloatArray, row_minima: FloatArray) -> ByteArray:
    padded = (np.pad(each, (0, -len(each) % ROWS)).reshape(-1, 1, ROWS) for each in (row_scales, row_minima))
    return np.concatenate(list(padded), axis=1).astype("<f2")
