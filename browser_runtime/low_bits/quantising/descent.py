"""Coordinate descent: scales, minima and codes, each to its best while all others stay.

The error of a matrix is that of its outputs, tr((W - Q) H (W - Q)^T), H the mean of its inputs' x x^T.
No step makes it larger.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from browser_runtime.low_bits.arrays import FloatArray
from browser_runtime.low_bits.packing import GROUP, CodedMatrix
from browser_runtime.low_bits.quantising.least_squares import TOP_FACTOR

TINY = 1e-20


def descend(weights: FloatArray, start: CodedMatrix, hessian: FloatArray) -> CodedMatrix:
    """The matrix after one pass over its groups of columns, with the same numbers a row.

    weights: [N, K]; hessian: damped [K, K].
    """
    codes = np.ascontiguousarray(start.codes.T, np.float32)
    scales, minima = (np.ascontiguousarray(each.T, np.float32) for each in (start.scales, start.minima))
    numbers = np.ascontiguousarray(start.expand().T)
    pull = hessian @ (weights.T - numbers)  # [K, N]: half of the error's slope, turned round
    for group in range(len(scales)):
        part = slice(group * GROUP, min((group + 1) * GROUP, len(codes)))
        inner, before = hessian[part, part], numbers[part].copy()
        near = pull[part].copy()
        _fit_factors(inner, near, codes[part], scales, minima, group, start)
        scale, low = scales[group] * start.row_scales, minima[group] * start.row_minima
        numbers[part] = codes[part] * scale + low
        near -= inner @ (numbers[part] - before)
        _fit_codes(inner, near, codes[part], numbers[part], scale, low, np.float32((1 << start.bits) - 1))
        pull -= hessian[:, part] @ (numbers[part] - before)
    q, s, m = (np.ascontiguousarray(each.T.astype(np.uint8)) for each in (codes, scales, minima))
    return replace(start, codes=q, scales=s, minima=m)


def _fit_factors(
    inner: FloatArray,
    pull: FloatArray,
    codes: FloatArray,
    scales: FloatArray,
    minima: FloatArray,
    group: int,
    start: CodedMatrix,
) -> None:
    """Moves each row's 6-bit scale and minimum of a group to the least error, where that is less."""
    spread = inner @ codes
    qq, q1, ones = (codes * spread).sum(0), spread.sum(0), float(inner.sum())
    pull_q, pull_1 = (codes * pull).sum(0), pull.sum(0)
    determinant = qq * ones - q1 * q1
    solvable = determinant > 1e-6 * qq * ones
    step = np.where(solvable, (ones * pull_q - q1 * pull_1) / np.where(solvable, determinant, 1), 0)
    scale = np.clip(np.rint(scales[group] + step / start.row_scales), 1, TOP_FACTOR)
    moved = (scale - scales[group]) * start.row_scales
    # The minimum that is best beside the rounded scale.
    shift = (pull_1 - q1 * moved) / max(ones, TINY)
    has_minima = start.row_minima < 0
    low = np.rint(minima[group] + shift / np.where(has_minima, start.row_minima, -1))
    low = np.where(has_minima, np.clip(low, 0, TOP_FACTOR), 0)
    shifted = (low - minima[group]) * start.row_minima
    gain = 2 * (moved * pull_q + shifted * pull_1)
    gain -= moved * moved * qq + 2 * moved * shifted * q1 + shifted * shifted * ones
    scales[group] = np.where(gain > 0, scale, scales[group])
    minima[group] = np.where(gain > 0, low, minima[group])


def _fit_codes(
    inner: FloatArray,
    pull: FloatArray,
    codes: FloatArray,
    numbers: FloatArray,
    scale: FloatArray,
    low: FloatArray,
    top: np.float32,
) -> None:
    """Takes the code of least error, column by column [columns, N]; all but the last three are changed."""
    for j in range(len(codes)):
        best = numbers[j] + pull[j] / inner[j, j]
        code = np.rint((best - low) / scale)
        np.clip(code, 0, top, out=code)
        moved = code * scale + low - numbers[j]
        codes[j], numbers[j] = code, numbers[j] + moved
        pull -= inner[:, j, None] * moved
