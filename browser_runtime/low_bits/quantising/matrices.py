"""One matrix in a number of bits: packed, and as the numbers that it then stands for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from browser_runtime.low_bits.arrays import FloatArray
from browser_runtime.low_bits.packing import FLOATS, ByteMatrix, pack_floats, unpack
from browser_runtime.low_bits.quantising.gptq import choose_codes, inverse_root
from browser_runtime.low_bits.quantising.least_squares import fit_matrix

GPTQ_BITS = (2,)
"""From 3 bits on least squares alone are as good, and five times as quick."""


@dataclass(frozen=True, slots=True)
class QuantisedMatrix:
    """A matrix, packed."""

    bits: int
    shape: tuple[int, ...]
    content: bytes
    numbers: FloatArray
    """What it stands for."""


@dataclass(frozen=True, slots=True)
class InputStatistics:
    """Statistics of a matrix's inputs on the calibration text."""

    hessian: FloatArray
    """The sum of x x^T [K, K]."""
    n_tokens: int

    @property
    def importance(self) -> FloatArray:
        """Each input's mean square [K]."""
        return np.diag(self.hessian) / np.float32(max(self.n_tokens, 1))


def quantise_matrix(
    weights: FloatArray, bits: int, statistics: InputStatistics | None, root: FloatArray | None = None
) -> QuantisedMatrix:
    """The matrix [N, K] in that many bits; without statistics all inputs count the same."""
    shape = weights.shape
    if bits in FLOATS:
        content = pack_floats(weights, bits)
        return QuantisedMatrix(bits, shape, content, unpack(content, bits, shape))
    if bits == 8:
        whole = ByteMatrix.round(weights)
        return QuantisedMatrix(bits, shape, whole.pack(), whole.expand())
    importance = np.ones(shape[1], np.float32) if statistics is None else statistics.importance
    fitted = fit_matrix(weights, bits, importance)
    if bits in GPTQ_BITS and statistics is not None:
        fitted = choose_codes(weights, fitted, inverse_root(statistics.hessian) if root is None else root)
    return QuantisedMatrix(bits, shape, fitted.pack(), fitted.expand())
