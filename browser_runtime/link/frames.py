"""Sans-I/O binary frames between worker and page: bytes in, values out, no sockets.

Layout, little-endian (the same in `page/frames.js`):

    offset 0   4 bytes   magic "WIF1"
    offset 4   u32       header length in bytes, padded with spaces so that blobs start 8-aligned
    offset 8   header    UTF-8 JSON object; an array's place holds {"$blob": index}
    then       blobs     in order, each padded with zeros to a multiple of 8

The header's "blobs" lists {"dtype", "shape", "size"} for each blob, size in bytes before padding.
A field of the message whose JSON is long (texts, many labels) travels as a uint8 blob of that JSON, and its
place in the header holds {"$json": index}: so the header is short whatever the frame holds.
Arrays decode as read-only views on the frame: no copy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

Fields = Mapping[str, object]
"""A message's fields by name: JSON values with arrays anywhere inside."""

MAGIC = b"WIF1"
ALIGN = 8
MAX_FRAME_BYTES = 256 << 20
MAX_HEADER_BYTES = 4 << 20
# From here on a field's JSON is a blob; and the most that one may hold: twice a request's texts or labels.
LONG_JSON_BYTES = 64 << 10
MAX_JSON_BYTES = 64 << 20
MAX_DIMENSIONS = 8
DTYPES = frozenset(
    (
        *("float16", "float32", "float64", "bool"),
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    )
)


class FrameError(ValueError):
    """The bytes are not a frame of this protocol."""


class FrameTooLarge(FrameError):
    """The message does not fit into a frame."""

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(f"{size_bytes} bytes are over the limit of {limit_bytes}")
        self.size_bytes, self.limit_bytes = size_bytes, limit_bytes


def encode(message: Fields) -> bytes:
    """The frame for `message`: JSON values with arrays (and bytes, as uint8) anywhere inside.

    Raises FrameError for a value that is neither, an array of another dtype; FrameTooLarge.
    """
    blobs: list[np.ndarray[Any, Any]] = []
    fields = [_json(_key(key)) + b":" + _field(value, blobs) for key, value in message.items()]
    specs = [{"dtype": blob.dtype.name, "shape": list(blob.shape), "size": blob.nbytes} for blob in blobs]
    header = b"{" + b",".join([*fields, b'"blobs":' + _json(specs)]) + b"}"
    header += b" " * (-len(header) % ALIGN)
    size = 8 + len(header) + sum(blob.nbytes + -blob.nbytes % ALIGN for blob in blobs)
    if len(header) > MAX_HEADER_BYTES or size > MAX_FRAME_BYTES:
        raise FrameTooLarge(size, MAX_FRAME_BYTES)
    parts: list[bytes | memoryview] = [MAGIC, len(header).to_bytes(4, "little"), header]
    for blob in blobs:
        parts += [blob.reshape(-1).data.cast("B") if blob.size else b"", b"\0" * (-blob.nbytes % ALIGN)]
    return b"".join(parts)


def _field(value: Any, blobs: list[np.ndarray[Any, Any]]) -> bytes:
    """Return the header's entry for a field of the message; its arrays, and long JSON, go to `blobs`."""
    text = _json(_extract(value, blobs))
    if len(text) <= LONG_JSON_BYTES:
        return text
    if len(text) > MAX_JSON_BYTES:
        raise FrameTooLarge(len(text), MAX_JSON_BYTES)
    blobs.append(np.frombuffer(text, dtype=np.uint8))
    return b'{"$json":%d}' % (len(blobs) - 1)


def _json(value: Any) -> bytes:
    """As JavaScript's JSON.stringify has it: UTF-8, lone surrogates escaped (but whole floats end in .0)."""
    try:
        text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"a value cannot travel: {error}") from error
    return text.encode(errors="backslashreplace")


def decode(frame: bytes | bytearray | memoryview) -> Fields:
    """The message in `frame`; arrays are read-only views on it. Raises FrameError."""
    view = memoryview(frame).toreadonly()
    if len(view) < ALIGN or bytes(view[:4]) != MAGIC:
        raise FrameError("not a frame: wrong magic")
    length = int.from_bytes(view[4:8], "little")
    if length > MAX_HEADER_BYTES or 8 + length > len(view) or length % ALIGN:
        raise FrameError(f"a header of {length} bytes does not fit a frame of {len(view)}")
    body = _parse(view[8 : 8 + length])
    if not isinstance(body, dict) or not isinstance(body.get("blobs"), list):
        raise FrameError("the header is not an object with a list of blobs")
    arrays = _arrays(body.pop("blobs"), view, 8 + length)
    return {key: _restore(_unfold(value, arrays), arrays) for key, value in body.items()}


def _parse(text: memoryview) -> Any:
    try:
        return json.loads(bytes(text))
    except (ValueError, RecursionError) as error:
        raise FrameError(f"the header, or a field, is not JSON: {error}") from error


def _unfold(value: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    """A field of the message, with its JSON in the place of the blob's number."""
    if not isinstance(value, dict) or "$json" not in value:
        return value
    text = _blob(value["$json"], arrays)
    if text.dtype != np.uint8 or text.ndim != 1 or text.nbytes > MAX_JSON_BYTES:
        raise FrameError(f"blob {value['$json']} is not JSON")
    return _parse(text.data)


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
    if not isinstance(key, str) or key in ("$blob", "$json", "blobs"):
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


def _blob(index: Any, arrays: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    if type(index) is not int or not 0 <= index < len(arrays):
        raise FrameError(f"blob {index!r} is not in the frame")
    return arrays[index]


def _restore(value: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    if isinstance(value, dict):
        if "$blob" in value:
            return _blob(value["$blob"], arrays)
        return {key: _restore(item, arrays) for key, item in value.items()}
    if isinstance(value, list):
        return [_restore(item, arrays) for item in value]
    return value
