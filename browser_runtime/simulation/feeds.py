"""Feeds of a graph, in the types and sizes that its own inputs declare.

The twin of `page/families/graphs/feeds.js`: exporters differ in the integers they take, in the inputs they
keep, and in whether the batch and the sequence have one size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from browser_runtime.contract.errors import ModelFault
from browser_runtime.contract.families import TEXT_EMBEDDING
from browser_runtime.texts.tokens import Tokens

Array = np.ndarray[Any, np.dtype[Any]]

# onnxruntime's names for the types that numbers are cast to.
DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}
TEXT_INPUTS = TEXT_EMBEDDING.graphs[0].inputs


@dataclass(frozen=True, slots=True)
class GraphInput:
    """One input as its graph declares it."""

    type: str
    """onnxruntime's name for it."""
    sizes: tuple[int | None, ...]
    """By axis; None if any size will do. Empty for one that declares no shape."""

    @classmethod
    def of(cls, node: Any) -> Self:
        """The input that onnxruntime's `NodeArg` describes."""
        sizes = (size if isinstance(size, int) and size > 0 else None for size in node.shape)
        return cls(node.type, tuple(sizes))

    def size(self, axis: int) -> int | None:
        """The one size that the axis has; None if any will do."""
        return self.sizes[axis] if axis < len(self.sizes) else None


Inputs = Mapping[str, GraphInput]


def fit_feeds(model: str, inputs: Inputs, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Each input's array in its own type; feeds that the graph does not take are left out.

    Raises ModelFault naming an input that nothing is known for, or that has another shape or no numbers.
    """
    unknown = [name for name in inputs if name not in feeds]
    if unknown:
        raise ModelFault(
            model, f"nothing is known for the graph input {unknown[0]}, only for {', '.join(feeds)}"
        )
    return {name: _fit(model, name, declared, feeds[name]) for name, declared in inputs.items()}


def _fit(model: str, name: str, declared: GraphInput, array: Array) -> Array:
    dtype = DTYPES.get(declared.type)
    if dtype is None:
        raise ModelFault(model, f"the graph input {name} takes {declared.type}, none of {', '.join(DTYPES)}")
    sizes = declared.sizes or array.shape
    fits = len(sizes) == array.ndim and all(
        size in (None, given) for size, given in zip(sizes, array.shape, strict=True)
    )
    if not fits:
        shown = ", ".join("any" if size is None else str(size) for size in sizes)
        given = list(array.shape)
        raise ModelFault(model, f"the graph input {name} declares the shape [{shown}], not {given}")
    return array.astype(dtype, copy=False)


def pad_rows(array: Array, rows: int | None) -> Array:
    """The array with rows of zeros added where the graph takes more of them."""
    if rows is None or rows <= len(array):
        return array
    return np.concatenate([array, np.zeros((rows - len(array), *array.shape[1:]), array.dtype)])


@dataclass(frozen=True, slots=True)
class TextShape:
    """The sizes that a text graph takes."""

    rows: int | None
    """Texts in a batch; None if any number will do."""
    columns: int | None
    """Tokens of a text, padded or cut; None if any number will do."""
    position_rows: int | None

    @classmethod
    def of(cls, model: str, inputs: Inputs) -> Self:
        """The shape that the inputs declare. Raises ModelFault if padding would be read as text."""
        first = inputs.get("input_ids")
        if first is None:
            raise ModelFault(model, f"its graph takes {', '.join(inputs)}, but no input_ids")
        if first.size(1) is not None and "attention_mask" not in inputs:
            why = f"its graph takes texts of {first.size(1)} tokens and no attention_mask"
            raise ModelFault(model, f"{why}, so it would read padding as text")
        positions = inputs.get("position_ids")
        return cls(first.size(0), first.size(1), positions.size(0) if positions else None)

    def feed(self, tokens: Tokens, pad_id: int, first_position: int) -> dict[str, Array]:
        """Every text input for this one text: [rows, columns], its own row first.

        The other rows attend to their first token alone: a row that attends to nothing would make NaN.
        """
        rows, columns, n = self.rows or 1, self.columns or len(tokens), len(tokens)
        ids = np.full((rows, columns), pad_id, np.int64)
        mask, segments = np.zeros_like(ids), np.zeros_like(ids)
        ids[0, :n], mask[0, :n], mask[1:, 0] = tokens.ids, 1, 1
        if tokens.segments is not None:
            segments[0, :n] = tokens.segments
        places = np.arange(first_position, first_position + columns)
        positions = np.tile(places, (self.position_rows or rows, 1))
        return dict(zip(TEXT_INPUTS, (ids, mask, segments, positions), strict=True))
