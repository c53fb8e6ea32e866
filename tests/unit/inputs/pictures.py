"""Pictures as bytes that Pillow does not write: PNG of 16 bits, TIFF of any sample."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def png(samples: Array, colour: int, transparent: Array | None = None, bits: int = 16) -> bytes:
    """A PNG of uint16 [height, width, channels]; `colour` is 0 grey, 2 RGB, 4 grey and alpha, 6 RGBA."""
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + _pack(row, bits) for row in samples)
    key = b"" if transparent is None else _chunk(b"tRNS", transparent.astype(">u2").tobytes())
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + key + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")


def _pack(row: Array, bits: int) -> bytes:
    """The row's samples, the first of a byte in its upper bits."""
    spread = np.unpackbits(row.astype(">u2").reshape(-1, 1).view(np.uint8), axis=1)
    return np.packbits(spread[:, 16 - bits :]).tobytes()


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def tiff(
    samples: Array,
    photometric: int = 1,
    *,
    order: str = "<",
    separate: bool = False,
    bits: int = 0,
    extra: int | None = None,
    raw: bytes | None = None,
) -> bytes:
    """An uncompressed TIFF of [height, width, channels]; `raw` in the place of the samples' own bytes."""
    height, width, channels = samples.shape
    planes = np.moveaxis(samples, 2, 0) if separate else samples
    body = raw or planes.astype(samples.dtype.newbyteorder(order)).tobytes()
    n_strips = channels if separate else 1
    kinds = {"u": 1, "i": 2, "f": 3}
    tags = {256: [width], 257: [height], 258: [bits or samples.dtype.itemsize * 8] * channels, 259: [1]}
    tags |= {262: [photometric], 273: [0] * n_strips, 277: [channels], 278: [height]}
    tags |= {279: [len(body) // n_strips] * n_strips, 284: [2 if separate else 1]}
    tags |= {} if extra is None else {338: [extra]}
    tags |= {339: [kinds[samples.dtype.kind]] * channels}
    start = 14 + 12 * len(tags)
    far: list[tuple[int, list[int]]] = []  # values that do not fit their entry
    entries = b""
    for tag, values in tags.items():
        if len(values) == 1:
            entries += struct.pack(order + "HHII", tag, 4, 1, values[0])
        else:
            entries += struct.pack(order + "HHII", tag, 4, len(values), start)
            far.append((tag, values))
            start += 4 * len(values)
    strips = [start + index * (len(body) // n_strips) for index in range(n_strips)]
    entries = entries.replace(
        struct.pack(order + "HHII", 273, 4, 1, 0), struct.pack(order + "HHII", 273, 4, 1, start)
    )
    tail = b"".join(
        struct.pack(f"{order}{len(values)}I", *(strips if tag == 273 else values)) for tag, values in far
    )
    head = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8)
    return head + struct.pack(order + "H", len(tags)) + entries + struct.pack(order + "I", 0) + tail + body
