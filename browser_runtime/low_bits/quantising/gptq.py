"""Codes chosen column by column, each error made good by the columns that follow.

Frantar et al. 2022 (arXiv:2210.17323), with scales and minima that were fitted to the untouched weights: they
have to be known together to be rounded together.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from browser_runtime.low_bits.arrays import FloatArray
from browser_runtime.low_bits.packing import GROUP, CodedMatrix

# Of the mean of the diagonal: inputs that hardly ever differ make no step larger than their weights.
DAMPING = 0.01


def inverse_root(hessian: FloatArray) -> FloatArray:
    """The upper triangle U, U^T U the inverse of the damped `hessian` [K, K]: the sum of inputs' x x^T."""
    damped = hessian.astype(np.float64)
    damped[np.diag_indices_from(damped)] += DAMPING * max(float(np.diag(damped).mean()), 1e-8)
    return np.linalg.cholesky(np.linalg.inv(damped)).T.astype(np.float32)


def choose_codes(weights: FloatArray, fitted: CodedMatrix, root: FloatArray) -> CodedMatrix:
    """The matrix with the same scales and minima, and codes that make its outputs' error small.

    weights: [N, K]; root: of `inverse_root`.
    """
    rest, codes = weights.copy(), np.empty_like(fitted.codes)
    top = (1 << fitted.bits) - 1
    scales = fitted.row_scales[:, None] * fitted.scales
    minima = fitted.row_minima[:, None] * fitted.minima
    for group, first in enumerate(range(0, weights.shape[1], GROUP)):
        last = min(first + GROUP, weights.shape[1])
        scale, low = scales[:, group], minima[:, group]
        block, errors = rest[:, first:last].copy(), np.empty((len(weights), last - first), np.float32)
        for j in range(last - first):
            column, row = block[:, j], root[first + j, first + j : last]
            code = np.clip(np.rint((column - low) / scale), 0, top)
            codes[:, first + j] = code
            errors[:, j] = (column - (code * scale + low)) / row[0]
            block[:, j:] -= np.outer(errors[:, j], row)
        rest[:, last:] -= errors @ root[first:last, last:]
    return replace(fitted, codes=codes)
