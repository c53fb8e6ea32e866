"""Matrices in a number of bits: packed, and as the numbers that they then stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from browser_runtime.low_bits.arrays import FloatArray
from browser_runtime.low_bits.packing import CODED_BITS, FLOATS, ByteMatrix, CodedMatrix, pack_floats, unpack
from browser_runtime.low_bits.quantising.descent import descend
from browser_runtime.low_bits.quantising.gptq import Elimination, choose_codes
from browser_runtime.low_bits.quantising.least_squares import fit_matrix

# Of the mean of the diagonal: inputs that hardly ever differ make no step larger than their weights.
DAMPING = 0.01
# A few thousand tokens say more of each input than of each pair. Off the diagonal only so much is believed:
# there errors were least on text that was not fitted to; at 1 they were larger than without any pairs.
PAIRS_SHARE = 0.5
# Of coordinate descent: a second one gains 5 % of the error at 4 bits, and a third as much with fewer.
PASSES = {2: 1, 3: 1, 4: 2}


@dataclass(frozen=True, slots=True)
class QuantisedMatrix:
    """A matrix, packed."""

    bits: int
    shape: tuple[int, ...]
    content: bytes
    numbers: FloatArray
    """What it stands for."""


@dataclass(frozen=True)
class InputStatistics:
    """Statistics of a matrix's inputs on the calibration text; what follows from them is computed once."""

    hessian: FloatArray
    """The sum of x x^T [K, K]."""
    n_tokens: int

    @property
    def importance(self) -> FloatArray:
        """Each input's mean square [K]."""
        return np.diag(self.hessian) / np.float32(max(self.n_tokens, 1))

    @cached_property
    def damped(self) -> FloatArray:
        """The mean of x x^T as far as it is believed, with enough on the diagonal to be inverted."""
        mean: FloatArray = self.hessian * np.float32(PAIRS_SHARE / max(self.n_tokens, 1))
        floor = DAMPING * max(float(self.importance.mean()), 1e-8)
        mean[np.diag_indices_from(mean)] = self.importance + np.float32(floor)
        return mean

    @cached_property
    def elimination(self) -> Elimination:
        """The order in which GPTQ takes the columns, and what each passes on."""
        return Elimination.of(self.damped)


def quantise_matrix(weights: FloatArray, bits: int, statistics: InputStatistics | None) -> QuantisedMatrix:
    """The matrix [N, K] in that many bits; without statistics all inputs count the same."""
    shape = weights.shape
    if bits in FLOATS:
        content = pack_floats(weights, bits)
        return QuantisedMatrix(bits, shape, content, unpack(content, bits, shape))
    if bits == 8:
        whole = ByteMatrix.round(weights)
        return QuantisedMatrix(bits, shape, whole.pack(), whole.expand())
    return _pack(code_matrix(weights, bits, statistics))


def quantise_together(
    matrices: Mapping[str, FloatArray], bits: int, statistics: InputStatistics
) -> dict[str, QuantisedMatrix]:
    """Matrices that read the same inputs, by name: what is computed of these is computed once."""
    if bits not in CODED_BITS:
        return {name: quantise_matrix(matrix, bits, statistics) for name, matrix in matrices.items()}
    coded = code_matrix(np.concatenate(list(matrices.values())), bits, statistics)
    ends = np.cumsum([len(matrix) for matrix in matrices.values()])
    parts = (coded.rows(end - len(matrix), end) for end, matrix in zip(ends, matrices.values(), strict=True))
    return {name: _pack(part) for name, part in zip(matrices, parts, strict=True)}


def code_matrix(weights: FloatArray, bits: int, statistics: InputStatistics | None) -> CodedMatrix:
    """Scales and minima by least squares, codes by GPTQ, then all of them by coordinate descent."""
    if statistics is None:
        return fit_matrix(weights, bits, np.ones(weights.shape[1], np.float32))
    fitted = fit_matrix(weights, bits, statistics.importance)
    coded = choose_codes(weights, fitted, statistics.elimination)
    for _ in range(PASSES[bits]):
        coded = descend(weights, coded, statistics.damped)
    return coded


def _pack(coded: CodedMatrix) -> QuantisedMatrix:
    return QuantisedMatrix(coded.bits, coded.codes.shape, coded.pack(), coded.expand())
