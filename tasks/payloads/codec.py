"""The `tensor` serializer: MessagePack with NumPy arrays. No pickle, no object arrays, everything bounded.

Extension types:
  1  array   dtype index (u8), number of dimensions (u8), sizes (u32 little-endian each), raw bytes
  2  claim   a 16-byte token, then an array's header without its bytes: the bytes wait beside the message
  3  time    an aware or naive datetime as ISO 8601
"""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import msgpack
import numpy as np

from browser_runtime.contract.errors import TooLarge

# The order is the wire's: append only.
DTYPES = (
    *("float32", "float16", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32"),
    *("int64", "uint64", "bool"),
)
_DTYPE_INDEX = {name: index for index, name in enumerate(DTYPES)}
ARRAY, CLAIM, TIME = 1, 2, 3

MAX_MESSAGE_BYTES = 32 << 20
MAX_ARRAY_BYTES = 256 << 20  # browser_runtime.link.frames.MAX_FRAME_BYTES: what a page is ever sent
MAX_DIMENSIONS = 8
MAX_DEPTH = 64  # a chord of chains of groups nests about 20 deep
MAX_CONTAINER = 1 << 20
TOKEN_BYTES = 16


class CodecError(ValueError):
    """The value cannot travel, or the bytes are not a value of this codec."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Stands for an array whose bytes wait in Redis under `token`."""

    token: bytes
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Size of the array in bytes."""
        return prod(self.shape) * np.dtype(self.dtype).itemsize


class Readable:
    """A value that travels as `value` and shows as `text`: event and log never see a tensor's repr."""

    __slots__ = ("text", "value")

    def __init__(self, value: Any, text: str) -> None:
        self.value, self.text = value, text

    def __repr__(self) -> str:
        return self.text


Deposit = Callable[[np.ndarray[Any, Any] | Claim], Claim | None]


def dumps(value: Any, deposit: Deposit | None = None) -> bytes:
    """The bytes of `value`; `deposit` may take an array and give a claim to send in its place.

    It is shown the claims that `value` holds already, too.

    Raises CodecError for what cannot travel: objects, object arrays, whole numbers past 64 bits; TooLarge.
    """

    def extend(item: Any) -> Any:
        # msgpack asks once about each object: what is inside a wrapper must come out in the same go.
        item = item.value if isinstance(item, Readable) else item
        if isinstance(item, np.ndarray):
            array = _portable(item)
            claim = deposit(array) if deposit else None
            return _pack_array(array) if claim is None else _pack_claim(claim)
        if isinstance(item, Claim) and deposit:
            deposit(item)
        return _plain(item)

    try:
        # Of a subclass of list msgpack asks the list beneath, which in Celery's lazy lists is empty.
        message = bytes(msgpack.packb(value, default=extend, strict_types=True))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise CodecError(str(error)) from error
    if len(message) > MAX_MESSAGE_BYTES:
        raise TooLarge("a message without its arrays", len(message), MAX_MESSAGE_BYTES)
    return message


def loads(data: bytes | bytearray | memoryview | str) -> Any:
    """The value in `data`; arrays are fresh and writable, deposited ones are `Claim`s. Raises CodecError."""
    if isinstance(data, str):
        raise CodecError("text is not a tensor message")
    view = memoryview(data)
    if view.nbytes > MAX_MESSAGE_BYTES:
        raise CodecError(f"a message of {view.nbytes} bytes is over the limit of {MAX_MESSAGE_BYTES}")
    try:
        value = msgpack.unpackb(
            view,
            ext_hook=_unpack,
            strict_map_key=True,
            max_array_len=MAX_CONTAINER,
            max_map_len=MAX_CONTAINER,
        )
    except (ValueError, TypeError, IndexError, KeyError, struct.error, msgpack.UnpackException) as error:
        raise CodecError(f"not a tensor message: {error}") from error
    _check_depth(value)
    return value


def array_from(claim: Claim, data: bytes) -> np.ndarray[Any, Any]:
    """The claimed array as a read-only view on `data`. Raises CodecError when the sizes differ."""
    if claim.nbytes != len(data):
        raise CodecError(f"{len(data)} bytes do not hold {claim.dtype}{list(claim.shape)}")
    return np.frombuffer(data, dtype=_little(claim.dtype)).reshape(claim.shape)


def _portable(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """`array` C-contiguous and little-endian. Raises CodecError for a dtype that cannot travel."""
    if array.dtype.name not in _DTYPE_INDEX:
        raise CodecError(f"arrays of dtype {array.dtype} cannot travel")
    if array.ndim > MAX_DIMENSIONS or array.nbytes > MAX_ARRAY_BYTES:
        raise CodecError(f"an array of shape {list(array.shape)} is too large to travel")
    return np.asarray(array, dtype=_little(array.dtype.name), order="C")


def _little(name: str) -> np.dtype[Any]:
    return np.dtype(name).newbyteorder("<")


# By the type that msgpack knows: how a value of a subclass becomes one of the type itself. The values of
# enumerations are theirs, whatever `str` says of them.
_EXACT: dict[type, Callable[[Any], Any]] = {
    bool: bool,
    int: int.__int__,
    float: float.__float__,
    str: str.__str__,
    bytes: bytes,
    list: list,
    tuple: list,
    dict: dict,
}


def _plain(item: Any) -> Any:
    """The form of `item` on the wire."""
    if isinstance(item, Claim):
        return _pack_claim(item)
    if isinstance(item, np.generic):
        return item.item()
    if isinstance(item, dt.datetime):
        return msgpack.ExtType(TIME, item.isoformat().encode())
    if item is None or type(item) is msgpack.ExtType:
        return item
    for kind, make_exact in _EXACT.items():
        if isinstance(item, kind):
            return make_exact(item)
    raise CodecError(f"values of type {type(item).__name__} cannot travel")


def _head(dtype: str, shape: tuple[int, ...]) -> bytes:
    return struct.pack(f"<BB{len(shape)}I", _DTYPE_INDEX[dtype], len(shape), *shape)


def _pack_array(array: np.ndarray[Any, Any]) -> msgpack.ExtType:
    return msgpack.ExtType(ARRAY, _head(array.dtype.name, array.shape) + array.tobytes())


def _pack_claim(claim: Claim) -> msgpack.ExtType:
    return msgpack.ExtType(CLAIM, claim.token + _head(claim.dtype, claim.shape))


def _unpack(code: int, data: bytes) -> Any:
    if code == ARRAY:
        dtype, shape, offset = _read_head(data)
        array = array_from(Claim(b"", dtype, shape), data[offset:])
        return array.astype(array.dtype.newbyteorder("="))
    if code == CLAIM:
        dtype, shape, offset = _read_head(data[TOKEN_BYTES:])
        if TOKEN_BYTES + offset != len(data):
            raise CodecError("a claim of another length")
        return Claim(data[:TOKEN_BYTES], dtype, shape)
    if code == TIME:
        return dt.datetime.fromisoformat(data.decode())
    raise CodecError(f"extension type {code} is not known")


def _read_head(data: bytes) -> tuple[str, tuple[int, ...], int]:
    """dtype, shape, and where the bytes begin. Raises CodecError."""
    index, n_dimensions = struct.unpack_from("<BB", data)
    if index >= len(DTYPES) or n_dimensions > MAX_DIMENSIONS:
        raise CodecError("an array of unknown dtype or too many dimensions")
    shape = struct.unpack_from(f"<{n_dimensions}I", data, 2)
    if prod(shape) * np.dtype(DTYPES[index]).itemsize > MAX_ARRAY_BYTES:
        raise CodecError(f"an array of shape {list(shape)} is too large to travel")
    return DTYPES[index], shape, 2 + 4 * n_dimensions


def _check_depth(value: Any) -> None:
    """Raises CodecError past MAX_DEPTH levels of lists and maps; without recursion, so that it can look."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise CodecError(f"nested more than {MAX_DEPTH} deep")
        level = [child for item in level for child in _children(item)]


def _children(item: Any) -> list[Any]:
    """The containers inside `item`."""
    values = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    return [value for value in values if isinstance(value, (dict, list))]
