"""GGUF files: metadata and tensors of llama.cpp's format, read with bounds.

The `gguf` package maps the file and believes its counts; here each count is held against what is left of the
file before anything of that size is made. Source: ggml's `docs/gguf.md`, versions 2 and 3, little-endian.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

from browser_runtime.contract.errors import BadRequest
from browser_runtime.low_bits.arrays import FloatArray
from browser_runtime.low_bits.reading.blocks import TYPES, expand
from browser_runtime.low_bits.reading.tensors import (
    MAX_DIMENSIONS,
    MAX_NAME_CHARACTERS,
    MAX_TENSORS,
    TensorSpan,
    check_names,
    check_shape,
    check_spans,
    count,
    read_span,
    require_finite,
)
from browser_runtime.models.files.paths import ForeignFolder, shorten

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
# The largest vocabularies, 256,000 pieces with their merges, take 20 MB.
MAX_METADATA_BYTES = 128 << 20
MAX_FIELDS = 4096
MAX_ITEMS = 1 << 22
STRING, ARRAY = 8, 9
NUMBERS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
"""How a value of each type number is written; strings and lists have their own."""


class GgufFile:
    """One GGUF file: `fields` by key, tensors by name."""

    def __init__(self, home: ForeignFolder, path: str) -> None:
        """Reads metadata and the list of tensors. Raises BadRequest for what is broken or not read here."""
        self._home, self.path = home, path
        try:
            with home.open(path) as stream:
                file_bytes = os.fstat(stream.fileno()).st_size
                cursor = _Cursor(stream, min(file_bytes, MAX_METADATA_BYTES), path)
                n_tensors = _read_head(cursor)
                self.fields: dict[str, Any] = _read_fields(cursor)
                entries = _read_entries(cursor, n_tensors, path)
        except OSError as error:
            raise BadRequest(f"{path} cannot be read: {error}") from error
        except ValueError as error:
            raise BadRequest(f"{path} is no whole GGUF file: {error}") from error
        start = _align(cursor.position, self.fields.get("general.alignment", DEFAULT_ALIGNMENT), path)
        self._spans = {name: _place(entry, start, path) for name, entry in entries.items()}
        check_spans(self._spans, file_bytes, path)
        self.shapes = {name: span.shape for name, span in self._spans.items()}

    def kind(self, name: str) -> str:
        """The type of the tensor: F16, Q4_1, ..."""
        return TYPES[int(self._spans[name].kind)].name

    def read(self, name: str) -> FloatArray:
        """The tensor's numbers. Raises BadRequest."""
        span = self._spans[name]
        numbers = expand(TYPES[int(span.kind)], read_span(self._home, span, name))
        return require_finite(numbers, name, span.path).reshape(span.shape)


@dataclass
class _Cursor:
    """Reads a stream from its start on, and never past `limit` bytes."""

    stream: BinaryIO
    limit: int
    path: str
    position: int = 0

    def take(self, size_bytes: int) -> bytes:
        """The next bytes. Raises ValueError where there are not so many."""
        if size_bytes > self.limit - self.position:
            raise ValueError(f"it would hold {size_bytes} bytes at {self.position}, but ends, or is too long")
        content = self.stream.read(size_bytes)
        if len(content) != size_bytes:
            raise ValueError(f"it ends at {self.position + len(content)}")
        self.position += size_bytes
        return content

    def number(self, kind: int) -> Any:
        """The next number of that type. Raises ValueError for a type that there is not."""
        if kind not in NUMBERS:
            raise ValueError(f"it holds a value of type {kind}, which there is not")
        form = NUMBERS[kind]
        return form.unpack(self.take(form.size))[0]

    def count(self, most: int, what: str) -> int:
        """The next count. Raises ValueError where it is above `most`."""
        number = int(self.number(10))
        if number > most:
            raise ValueError(f"it would hold {number} {what}, more than the {most} allowed")
        return number

    def text(self, most: int) -> str:
        """The next text. Raises ValueError where it is longer or no UTF-8."""
        return self.take(self.count(most, "characters in a text")).decode("utf-8")


def _read_head(cursor: _Cursor) -> int:
    """The number of tensors that follow the metadata."""
    if cursor.take(4) != MAGIC:
        raise ValueError("it does not begin with GGUF")
    version = cursor.number(4)
    if version not in VERSIONS:
        swapped = int.from_bytes(int(version).to_bytes(4, "little"), "big")
        what = "big-endian" if swapped in VERSIONS else f"of version {version}"
        raise ValueError(
            f"it is {what}; versions {' and '.join(map(str, VERSIONS))}, little-endian, are read here"
        )
    return cursor.count(MAX_TENSORS, "tensors")


def _read_fields(cursor: _Cursor) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for _ in range(cursor.count(MAX_FIELDS, "metadata entries")):
        key = cursor.text(MAX_NAME_CHARACTERS)
        if key in fields:
            raise ValueError(f"it holds {shorten(key)} twice")
        fields[key] = _read_value(cursor, cursor.number(4))
    return fields


def _read_value(cursor: _Cursor, kind: int) -> Any:
    if kind == STRING:
        return cursor.text(cursor.limit)
    if kind != ARRAY:
        return cursor.number(kind)
    inner = cursor.number(4)
    if inner == ARRAY:
        raise ValueError("it holds lists of lists")
    n_items = cursor.count(MAX_ITEMS, "items in a list")
    if inner == STRING:
        return [cursor.text(cursor.limit) for _ in range(n_items)]
    if inner not in NUMBERS:
        raise ValueError(f"it holds a list of type {inner}, which there is not")
    form = NUMBERS[inner]
    return [value for (value,) in form.iter_unpack(cursor.take(form.size * n_items))]


Entry = tuple[str, Any, int, int]


def _read_entries(cursor: _Cursor, n_tensors: int, path: str) -> dict[str, Entry]:
    """Name, shape (rows first), type and offset of each tensor."""
    entries: dict[str, Entry] = {}
    for _ in range(n_tensors):
        name = cursor.text(MAX_NAME_CHARACTERS)
        n_dimensions = cursor.number(4)
        if n_dimensions > MAX_DIMENSIONS or name in entries:
            raise ValueError(f"the entry of tensor {shorten(name)} cannot be")
        sizes = [cursor.number(10) for _ in range(n_dimensions)]
        entries[name] = (name, check_shape(sizes[::-1], name, path), cursor.number(4), cursor.number(10))
    check_names(entries, path)
    return entries


def _align(position: int, alignment: Any, path: str) -> int:
    if type(alignment) is not int or not 0 < alignment <= 1 << 16:
        raise BadRequest(f"general.alignment of {path} is {shorten(alignment)}, no count of bytes")
    return -(-position // alignment) * alignment


def _place(entry: Entry, start: int, path: str) -> TensorSpan:
    """The place of the tensor. Raises BadRequest for a type not read here, or a row cut within a block."""
    name, shape, kind, offset = entry
    if kind not in TYPES:
        known = ", ".join(each.name for each in TYPES.values())
        raise BadRequest(f"tensor {shorten(name)} of {path} is of ggml's type {kind}, not one of {known}")
    block = TYPES[kind]
    if not shape or shape[-1] % block.n_numbers:
        raise BadRequest(f"tensor {shorten(name)} of {path}: {shape} does not go into blocks of {block.name}")
    size_bytes = count(shape) // block.n_numbers * block.n_bytes
    return TensorSpan(path, start + offset, size_bytes, str(kind), shape)
