"""Safetensors files, one or several with an index: the header read with bounds, tensors one at a time.

Source: the format's description in huggingface/safetensors: 8 bytes of header length, little-endian; a JSON
object of tensors; their bytes, `data_offsets` counted from the header's end.
"""

from __future__ import annotations

import os
import struct
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadRequest
from browser_runtime.low_bits.arrays import FloatArray
from browser_runtime.low_bits.reading.file_names import INDEX, SINGLE
from browser_runtime.low_bits.reading.tensors import (
    TensorSpan,
    check_names,
    check_shape,
    check_spans,
    count,
    read_span,
    require_finite,
    widen_bfloat16,
)
from browser_runtime.models.files.json_files import MAX_JSON_BYTES, parse_object
from browser_runtime.models.files.paths import ForeignFolder, check_path, shorten

TYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
}
LENGTH = struct.Struct("<Q")
# No model comes in more parts: the largest are cut into some 200.
MAX_PARTS = 1024


class SafetensorsFiles:
    """The tensors of a folder with one safetensors file, or several and their index."""

    def __init__(self, home: ForeignFolder) -> None:
        """Reads the headers. Raises BadRequest for what is missing, broken or does not lie in its file."""
        self._home = home
        self.parts = _find_parts(home)
        self._spans: dict[str, TensorSpan] = {}
        for path in self.parts:
            found = _read_header(home, path)
            twice = next((name for name in found if name in self._spans), None)
            if twice is not None:
                raise BadRequest(f"the tensor {shorten(twice)} is in {self._spans[twice].path} and {path}")
            self._spans |= found
        self.shapes = {name: span.shape for name, span in self._spans.items()}

    def read(self, name: str) -> FloatArray:
        """The tensor's numbers. Raises BadRequest."""
        span = self._spans[name]
        if span.kind not in TYPES:
            kinds = ", ".join(TYPES)
            raise BadRequest(
                f"tensor {shorten(name)} of {span.path} is of type {span.kind}, not one of {kinds}"
            )
        numbers = np.frombuffer(read_span(self._home, span, name), TYPES[span.kind])
        wide = widen_bfloat16(numbers) if span.kind == "BF16" else numbers.astype(np.float32)
        return require_finite(wide, name, span.path).reshape(span.shape)


def _find_parts(home: ForeignFolder) -> tuple[str, ...]:
    """The files that hold the weights, as the index names them. Raises BadRequest."""
    if home.find(INDEX) is None:
        if home.find(SINGLE) is None:
            raise BadRequest(f"{home.root} holds neither {SINGLE} nor {INDEX}")
        return (SINGLE,)
    named = parse_object(home.read(INDEX, MAX_JSON_BYTES), INDEX).get("weight_map")
    if not isinstance(named, dict) or not named:
        raise BadRequest(f"{INDEX} has no weight_map")
    paths = sorted({_check_part(path) for path in named.values()})
    if len(paths) > MAX_PARTS:
        raise BadRequest(f"{INDEX} names {len(paths)} files, more than the {MAX_PARTS} allowed")
    return tuple(paths)


def _check_part(path: Any) -> str:
    try:
        checked = check_path(path)
    except ValueError as error:
        raise BadRequest(f"{INDEX} names {shorten(path)} as a file: {error}") from error
    if PurePosixPath(checked).suffix != ".safetensors":
        raise BadRequest(f"{INDEX} names {shorten(path)}, which is no safetensors file")
    return checked


def _read_header(home: ForeignFolder, path: str) -> dict[str, TensorSpan]:
    """The place of each tensor of one file. Raises BadRequest."""
    try:
        with home.open(path) as stream:
            file_bytes = os.fstat(stream.fileno()).st_size
            (length,) = LENGTH.unpack(stream.read(LENGTH.size).ljust(LENGTH.size, b"\xff"))
            if length > min(MAX_JSON_BYTES, file_bytes - LENGTH.size):
                raise BadRequest(f"{path} is no safetensors file: its header would take {length} bytes")
            entries = parse_object(stream.read(length), f"the header of {path}")
    except (OSError, ValueError) as error:
        raise BadRequest(f"{path} cannot be read: {error}") from error
    entries.pop("__metadata__", None)
    check_names(entries, path)
    start = LENGTH.size + length
    spans = {name: _read_entry(name, entry, start, path) for name, entry in entries.items()}
    check_spans(spans, file_bytes, path)
    return spans


def _read_entry(name: str, entry: Any, start: int, path: str) -> TensorSpan:
    kind, shape, offsets = (
        (entry.get(key) for key in ("dtype", "shape", "data_offsets"))
        if isinstance(entry, dict)
        else (None, None, None)
    )
    sizes = check_shape(shape, name, path)
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(type(each) is int for each in offsets):
        raise BadRequest(f"the entry of tensor {shorten(name)} in {path} has no data_offsets")
    size_bytes = offsets[1] - offsets[0]
    # Types that nothing is read of have sizes that are not known here: buffers of other programs.
    if size_bytes < 0 or (kind in TYPES and size_bytes != count(sizes) * TYPES[kind].itemsize):
        raise BadRequest(f"the tensor {shorten(name)} of {path} is of another size than its shape")
    return TensorSpan(path, start + offsets[0], size_bytes, str(kind), sizes)
