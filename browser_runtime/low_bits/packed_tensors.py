"""A packed model's weights as the decoder multiplies with them: against activations of 8 bits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from browser_runtime.low_bits.arrays import FloatArray, IntArray
from browser_runtime.low_bits.model_file import PackedModel
from browser_runtime.low_bits.packing import GROUP, TOP_CODE
from browser_runtime.low_bits.shape import DecoderShape


def round_activations(x: FloatArray) -> FloatArray:
    """Rows [tokens, in] as int8 with a scale a group stands for them: xs qx, in 32-bit floats."""
    n, k = x.shape
    groups = np.pad(x, ((0, 0), (0, -k % GROUP))).reshape(n, -1, GROUP)
    largest = np.abs(groups).max(-1, keepdims=True)
    # The page divides and multiplies in this order: another rounds some numbers otherwise.
    inverse = np.float32(TOP_CODE) / np.where(largest > 0, largest, 1)
    scales = largest / np.float32(TOP_CODE)
    rounded: FloatArray = (np.rint(groups * inverse) * scales).reshape(n, -1)
    return rounded[:, :k]


class PackedTensors:
    """A packed model's weights, held as the 32-bit floats that they stand for.

    The page's dots are exact integers, scaled afterwards; here the same is summed in another order.
    """

    def __init__(
        self, shape: DecoderShape, tensors: Mapping[str, FloatArray], bits: Mapping[str, int]
    ) -> None:
        self.shape = shape
        self._tensors, self._bits = tensors, bits

    @classmethod
    def open(cls, model: PackedModel) -> PackedTensors:
        """All tensors of the model. Raises BadRequest."""
        tensors = {name: model.read(name) for name in model.tensors}
        return cls(model.shape, tensors, {name: tensor.bits for name, tensor in model.tensors.items()})

    def rows(self, tokens: IntArray) -> FloatArray:
        """The embedding's rows."""
        return self._tensors["embedding"][tokens]

    def multiply(self, name: str, x: FloatArray) -> FloatArray:
        """A product; matrices of up to 8 bits take activations of 8 bits."""
        return (round_activations(x) if self._bits[name] <= 8 else x) @ self._tensors[name].T

    def vector(self, name: str) -> FloatArray | None:
        """A norm or a bias."""
        return self._tensors.get(name)
