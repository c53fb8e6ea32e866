"""Codes chosen column by column, each error made good by the columns that follow.

Frantar et al. 2022 (arXiv:2210.17323), the columns with the largest inputs first, with scales and minima that
were fitted to the untouched weights: they have to be known together to be rounded together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from browser_runtime.low_bits.arrays import FloatArray, IntArray
from browser_runtime.low_bits.packing import GROUP, CodedMatrix

# Columns whose errors are passed on together, by one matrix product.
BLOCK = 32
# A triangle that is inverted at once.
SMALL = 96


@dataclass(frozen=True, slots=True)
class Elimination:
    """The order of columns, and the upper triangle U with U^T U the inverse of the ordered H."""

    order: IntArray
    root: FloatArray

    @classmethod
    def of(cls, hessian: FloatArray) -> Elimination:
        """Those of the damped mean of inputs' x x^T [K, K], the largest inputs first."""
        order = np.argsort(-np.diag(hessian), kind="stable").astype(np.int32)
        # Cholesky from the last column back: H = R R^T, and U = R^-1.
        backwards = np.linalg.cholesky(hessian[np.ix_(order[::-1], order[::-1])].astype(np.float64))
        return cls(order, _invert_upper(backwards[::-1, ::-1].astype(np.float32)))


def _invert_upper(upper: FloatArray) -> FloatArray:
    """The inverse of an upper triangle, by its quarters: a tenth of the work that `inv` makes of it."""
    n = len(upper)
    if n <= SMALL:
        return np.triu(np.linalg.inv(upper)).astype(np.float32, copy=False)
    half = n // 2
    inverse = np.zeros_like(upper)
    first, last = _invert_upper(upper[:half, :half]), _invert_upper(upper[half:, half:])
    inverse[:half, :half], inverse[half:, half:] = first, last
    inverse[:half, half:] = -(first @ upper[:half, half:]) @ last
    return inverse


def choose_codes(weights: FloatArray, fitted: CodedMatrix, elimination: Elimination) -> CodedMatrix:
    """The matrix [N, K] with the same scales and minima, and codes that make its outputs' error small."""
    order, root = elimination.order, elimination.root
    # Columns lie one after another: each step reads and writes whole ones.
    rest, codes = np.ascontiguousarray(weights.T[order]), np.empty(weights.shape[::-1], np.float32)
    for first in range(0, len(rest), BLOCK):
        last = min(first + BLOCK, len(rest))
        part = slice(first, last)
        errors = _choose_block(rest[part], codes[part], fitted, order[part], root[part, part])
        rest[last:] -= root[part, last:].T @ errors
    chosen = np.empty(weights.shape, np.uint8)
    chosen[:, order] = codes.T
    return replace(fitted, codes=chosen)


def _choose_block(
    rest: FloatArray, codes: FloatArray, fitted: CodedMatrix, columns: IntArray, root: FloatArray
) -> FloatArray:
    """Fills in the codes of some columns [columns, N]; what they leave to the columns behind them."""
    top, errors = np.float32((1 << fitted.bits) - 1), np.empty_like(rest)
    for j, group in enumerate(columns // GROUP):
        scale, low = fitted.row_scales * fitted.scales[:, group], fitted.row_minima * fitted.minima[:, group]
        code = np.rint((rest[j] - low) / scale)
        np.clip(code, 0, top, out=code)
        codes[j] = code
        errors[j] = (rest[j] - (code * scale + low)) / root[j, j]
        rest[j + 1 :] -= root[j, j + 1 :, None] * errors[j]
    return errors
