"""Tensors of a file that somebody else wrote: where each lies, and its numbers as 32-bit floats."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from browser_runtime.contract.errors import BadRequest
from browser_runtime.low_bits.arrays import FloatArray
from browser_runtime.models.files.paths import ForeignFolder, shorten

# A vector a tensor would be 100,000 for the largest model; more is no model.
MAX_TENSORS = 1 << 17
MAX_DIMENSIONS = 4
MAX_NAME_CHARACTERS = 256


class TensorFile(Protocol):
    """A file whose tensors are read by name: nothing of it is in memory before."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Each tensor's shape, rows first."""

    def read(self, name: str) -> FloatArray:
        """The tensor's numbers in its shape. Raises BadRequest where they are not there, or not finite."""


@dataclass(frozen=True, slots=True)
class TensorSpan:
    """The place of a tensor in its file, and the type of its numbers."""

    path: str
    first: int
    size_bytes: int
    kind: str
    shape: tuple[int, ...]


def check_spans(spans: Mapping[str, TensorSpan], file_bytes: int, path: str) -> None:
    """Returns where the spans lie inside the file and apart from each other. Raises BadRequest."""
    end, before = 0, ""
    for name, span in sorted(spans.items(), key=lambda entry: (entry[1].first, entry[1].size_bytes)):
        if span.first < 0 or span.first + span.size_bytes > file_bytes:
            raise BadRequest(f"the tensor {shorten(name)} of {path} does not lie in the file")
        if span.first < end and span.size_bytes:
            raise BadRequest(f"the tensors {shorten(before)} and {shorten(name)} of {path} overlap")
        end, before = max(end, span.first + span.size_bytes), name


def check_shape(shape: Any, name: str, path: str) -> tuple[int, ...]:
    """The shape, as a tuple of sizes. Raises BadRequest where it is none that a tensor can have."""
    is_list = isinstance(shape, (list, tuple)) and len(shape) <= MAX_DIMENSIONS
    if not is_list or not all(type(size) is int and 0 < size < 1 << 40 for size in shape):
        raise BadRequest(f"the shape of tensor {shorten(name)} in {path} is {shorten(shape)}")
    return tuple(shape)


def check_names(names: Iterable[Any], path: str) -> None:
    """Returns where these can be names of tensors. Raises BadRequest."""
    listed = list(names)
    if len(listed) > MAX_TENSORS:
        raise BadRequest(f"{path} holds {len(listed)} tensors, more than the {MAX_TENSORS} allowed")
    for name in listed:
        if not isinstance(name, str) or len(name) > MAX_NAME_CHARACTERS:
            raise BadRequest(f"{shorten(name)} in {path} is no tensor's name")


def read_span(home: ForeignFolder, span: TensorSpan, name: str) -> bytes:
    """The bytes of the tensor. Raises BadRequest where the file has become shorter, or another."""
    try:
        with home.open(span.path) as stream:
            stream.seek(span.first)
            content = stream.read(span.size_bytes)
    except (OSError, ValueError) as error:
        raise BadRequest(f"tensor {shorten(name)} cannot be read from {span.path}: {error}") from error
    if len(content) != span.size_bytes:
        raise BadRequest(f"{span.path} ends within the tensor {shorten(name)}")
    return content


def widen_bfloat16(numbers: np.ndarray[Any, np.dtype[np.uint16]]) -> FloatArray:
    """bfloat16 is the upper half of a float32."""
    return (numbers.astype(np.uint32) << 16).view(np.float32)


def require_finite(numbers: FloatArray, name: str, path: str) -> FloatArray:
    """The numbers. Raises BadRequest where one is infinite or none: no text would come of it."""
    if not np.isfinite(numbers).all():
        raise BadRequest(f"the tensor {shorten(name)} of {path} holds numbers that are not finite")
    return numbers


def count(shape: tuple[int, ...]) -> int:
    """The count of numbers in a tensor of that shape."""
    return math.prod(shape)
