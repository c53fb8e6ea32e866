"""Sans-I/O binary frames between worker and page: bytes in, values out, no sockets.

Layout, little-endian (the same in `page/frames.js`):

    offset 0   4 bytes   magic "WIF1"
    offset 4   u32       header length in bytes, padded with spaces so that blobs start 8-aligned
    offset 8   header    UTF-8 JSON object; an array's place holds {"$blob": index}
    then       blobs     in order, each padded with zeros to a multiple of 8

The header's "blobs" lists {"dtype", "shape", "size"} for each blob, size in bytes before padding.
Arrays decode as read-only views on the frame: no copy.
"""

from __future__ import annotations

import json
from math import prod
from typing import Any

import numpy as np

MAGIC = b"WIF1"
ALIGN = 8
MAX_FRAME_BYTES = 256 << 20
MAX_HEADER_BYTES = 4 << 20
MAX_DIMENSIONS = 8
DTYPES = frozenset(
    (
        *("float16", "float32", "float64", "bool"),
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    )
)


class FrameError(ValueError):
    """The bytes are not a frame of this protocol."""


def encode(message: dict[str, Any]) -> bytes:
    """The frame for `message`: JSON values with arrays (and bytes, as uint8) anywhere inside.

    Raises FrameError for a value that is neither, an array of another dtype, or too large a frame.
    """
    blobs: list[np.ndarray[Any, Any]] = []
    body = _extract(message, blobs)
    body["blobs"] = [
        {"dtype": blob.dtype.name, "shape": list(blob.shape), "size": blob.nbytes} for blob in blobs
    ]
    header = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
    header += b" " * (-len(header) % ALIGN)
    parts: list[bytes | memoryview] = [MAGIC, len(header).to_bytes(4, "little"), header]
    for blob in blobs:
        parts += [blob.reshape(-1).data.cast("B") if blob.size else b"", b"\0" * (-blob.nbytes % ALIGN)]
    frame = b"".join(parts)
    if len(header) > MAX_HEADER_BYTES or len(frame) > MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {len(frame)} bytes is over the limit of {MAX_FRAME_BYTES}")
    return frame


def decode(frame: bytes | bytearray | memoryview) -> dict[str, Any]:
    """The message in `frame`; arrays are read-only views on it. Raises FrameError."""
    view = memoryview(frame).toreadonly()
    if len(view) < ALIGN or bytes(view[:4]) != MAGIC:
        raise FrameError("not a frame: wrong magic")
    length = int.from_bytes(view[4:8], "little")
    if length > MAX_HEADER_BYTES or 8 + length > len(view) or length % ALIGN:
        raise FrameError(f"a header of {length} bytes does not fit a frame of {len(view)}")
    try:
        body = json.loads(bytes(view[8 : 8 + length]))
    except (ValueError, RecursionError) as error:
        raise FrameError(f"the header is not JSON: {error}") from error
    if not isinstance(body, dict) or not isinstance(body.get("blobs"), list):
        raise FrameError("the header is not an object with a list of blobs")
    arrays = _arrays(body.pop("blobs"), view, 8 + length)
    message = _restore(body, arrays)
    assert isinstance(message, dict)
    return message


def _extract(value: Any, blobs: list[np.ndarray[Any, Any]]) -> Any:
    """`value` with each array replaced by its index in `blobs`."""
    if isinstance(value, dict):
        return {_key(key): _extract(item, blobs) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_extract(item, blobs) for item in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        value = np.frombuffer(value, dtype=np.uint8)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        if value.dtype.name not in DTYPES:
            raise FrameError(f"arrays of dtype {value.dtype} cannot travel")
        blobs.append(np.asarray(value, dtype=value.dtype.newbyteorder("<"), order="C"))
        return {"$blob": len(blobs) - 1}
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise FrameError(f"values of type {type(value).__name__} cannot travel")


def _key(key: Any) -> str:
    if not isinstance(key, str) or key in ("$blob", "blobs"):
        raise FrameError(f"{key!r} cannot be a key")
    return key


def _arrays(specs: list[Any], view: memoryview, offset: int) -> list[np.ndarray[Any, Any]]:
    arrays = []
    for spec in specs:
        dtype, shape = _checked(spec)
        size = prod(shape) * dtype.itemsize
        if spec.get("size") != size or offset + size > len(view):
            raise FrameError(f"a blob of {spec.get('size')} bytes does not hold {dtype}{shape}")
        arrays.append(np.frombuffer(view[offset : offset + size], dtype=dtype).reshape(shape))
        offset += size + (-size % ALIGN)
    if offset != len(view):
        raise FrameError(f"{len(view) - offset} bytes follow the last blob")
    return arrays


def _checked(spec: Any) -> tuple[np.dtype[Any], list[int]]:
    if not isinstance(spec, dict) or spec.get("dtype") not in DTYPES:
        raise FrameError(f"unknown blob {spec!r}"[:200])
    shape = spec.get("shape")
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS:
        raise FrameError("a blob's shape must be a list of at most 8 sizes")
    if not all(type(size) is int and 0 <= size <= MAX_FRAME_BYTES for size in shape):
        raise FrameError("a blob's sizes must be whole numbers from 0")
    return np.dtype(spec["dtype"]), shape


def _restore(value: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    if isinstance(value, dict):
        if "$blob" in value:
            index = value["$blob"]
            if type(index) is not int or not 0 <= index < len(arrays):
                raise FrameError(f"blob {index!r} is not in the frame")
            return arrays[index]
        return {key: _restore(item, arrays) for key, item in value.items()}
    if isinstance(value, list):
        return [_restore(item, arrays) for item in value]
    return value
