"""Scales and minima that make a matrix's error small where its inputs are large.

The error of a weight counts as much as its input's mean square: activation-weighted least squares. Scales and
minima get 6 bits under a pair of fp16 numbers a row, and are fitted again after each rounding.
"""

from __future__ import annotations

import numpy as np

from browser_runtime.low_bits.arrays import FloatArray
from browser_runtime.low_bits.packing import GROUP, CodedMatrix

TOP_FACTOR = 63
"""The largest 6-bit number."""
# Outliers may be cut off where the rest gains by it: each group tries these parts of its range.
# More of them, and more rounds, change nothing once the codes were chosen anew (`gptq.py`, `descent.py`).
SHRINKS = (1.0, 0.8)
FIRST_ROUNDS, LAST_ROUNDS = 2, 2
TINY = np.float32(1e-12)
# What fp16 can still tell from zero, with room for a factor of 63.
SMALLEST_SCALE = 1e-7
# Rows that are fitted together: their 64-bit temporaries stay in a processor's cache.
ROWS_AT_ONCE = 64

Fit = tuple[FloatArray, FloatArray]
"""Scales and minima."""


def fit_matrix(weights: FloatArray, bits: int, importance: FloatArray) -> CodedMatrix:
    """The matrix [N, K] in that many bits.

    importance: [K], each input's mean square.
    """
    parts = [
        _fit_rows(weights[start : start + ROWS_AT_ONCE], bits, importance)
        for start in range(0, len(weights), ROWS_AT_ONCE)
    ]
    fields = ("codes", "scales", "minima", "row_scales", "row_minima")
    return CodedMatrix(bits, *(np.concatenate([getattr(part, name) for part in parts]) for name in fields))


def _fit_rows(weights: FloatArray, bits: int, importance: FloatArray) -> CodedMatrix:
    n, k = weights.shape
    groups = np.pad(weights, ((0, 0), (0, -k % GROUP))).reshape(n, -1, GROUP)
    # What lies beyond the row counts for nothing; an input that never was has to count a little.
    floor = max(float(importance.mean()) * 1e-4, 1e-12)
    counts = np.pad(np.maximum(importance, floor), (0, -k % GROUP)).reshape(1, -1, GROUP).astype(np.float32)
    counts = np.broadcast_to(counts, groups.shape)
    top = np.float32((1 << bits) - 1)
    scales, minima = fit_groups(groups, counts, top)
    return _round_factors(groups, counts, top, scales, minima, bits, k)


def fit_groups(groups: FloatArray, counts: FloatArray, top: np.float32) -> Fit:
    """The scale and minimum of each group [n, groups, 32] whose weighted error is least; [n, groups] each."""
    low, high = np.minimum(groups.min(-1), 0), np.maximum(groups.max(-1), 0)
    middle, best = (low + high) / 2, None
    for shrink in SHRINKS:
        scale = np.maximum((high - low) * np.float32(shrink) / top, TINY)
        fit = scale, np.minimum(middle - (middle - low) * np.float32(shrink), 0)
        for _ in range(FIRST_ROUNDS):
            fit = _refit_groups(groups, counts, codes_of(groups, *fit, top), *fit)
        error = _error(groups, counts, codes_of(groups, *fit, top), *fit)
        if best is None:
            best, least = fit, error
        else:
            better = error < least
            least = np.where(better, error, least)
            best = np.where(better, fit[0], best[0]), np.where(better, fit[1], best[1])
    assert best is not None
    return best


def codes_of(groups: FloatArray, scales: FloatArray, minima: FloatArray, top: np.float32) -> FloatArray:
    """The nearest code of each weight."""
    nearest: FloatArray = np.rint((groups - minima[..., None]) / scales[..., None])
    return np.clip(nearest, 0, top, out=nearest)


def _error(
    groups: FloatArray, counts: FloatArray, codes: FloatArray, scales: FloatArray, minima: FloatArray
) -> FloatArray:
    off = groups - codes * scales[..., None] - minima[..., None]
    error: FloatArray = np.einsum("ngi,ngi,ngi->ng", counts, off, off)
    return error


def _refit_groups(
    groups: FloatArray, counts: FloatArray, codes: FloatArray, scales: FloatArray, minima: FloatArray
) -> Fit:
    """Least squares of the weights against their codes; a minimum above 0 has no code, and is 0 then."""
    weighted = counts * codes
    n, q, w = counts.sum(-1), weighted.sum(-1), np.einsum("ngi,ngi->ng", counts, groups)
    qq, qw = np.einsum("ngi,ngi->ng", weighted, codes), np.einsum("ngi,ngi->ng", weighted, groups)
    determinant = n * qq - q * q
    solvable = determinant > TINY * n * qq
    fitted = np.where(solvable, (n * qw - q * w) / np.where(solvable, determinant, 1), scales)
    shift = np.where(solvable, (w - fitted * q) / np.where(n > 0, n, 1), minima)
    through_zero = np.where(qq > 0, qw / np.where(qq > 0, qq, 1), scales)
    fitted = np.where(shift > 0, through_zero, fitted)
    return np.maximum(fitted, TINY), np.minimum(shift, 0)


def _round_factors(
    groups: FloatArray,
    counts: FloatArray,
    top: np.float32,
    scales: FloatArray,
    minima: FloatArray,
    bits: int,
    k: int,
) -> CodedMatrix:
    """Brings scales and minima to 6 bits under fp16, fitting one again where the other was rounded."""
    row_scales = _half(np.maximum(scales.max(-1) / TOP_FACTOR, SMALLEST_SCALE))
    row_minima = _half(minima.min(-1) / TOP_FACTOR)
    factors = _nearest_factors(scales, minima, row_scales, row_minima)
    best: tuple[FloatArray, ...] | None = None
    for _ in range(LAST_ROUNDS):
        scale, minimum = row_scales[:, None] * factors[0], row_minima[:, None] * factors[1]
        codes = codes_of(groups, scale, minimum, top)
        error = _error(groups, counts, codes, scale, minimum).sum(-1)
        found = (error, codes, *factors, row_scales, row_minima)
        best = found if best is None else _better(found, best)
        row_scales, row_minima = _refit_rows(groups, counts, codes, *factors, row_scales, row_minima)
        fit = _refit_groups(groups, counts, codes, scale, minimum)
        factors = _nearest_factors(*fit, row_scales, row_minima)
    assert best is not None
    _, codes, *small, row_scales, row_minima = best
    whole = codes.astype(np.uint8).reshape(len(groups), -1)[:, :k]
    scale_codes, minimum_codes = (each.astype(np.uint8) for each in small)
    return CodedMatrix(bits, np.ascontiguousarray(whole), scale_codes, minimum_codes, row_scales, row_minima)


def _better(found: tuple[FloatArray, ...], best: tuple[FloatArray, ...]) -> tuple[FloatArray, ...]:
    """Row by row what has the smaller error."""
    wins = found[0] < best[0]
    return tuple(
        np.where(wins.reshape(-1, *[1] * (new.ndim - 1)), new, old)
        for new, old in zip(found, best, strict=True)
    )


def _nearest_factors(
    scales: FloatArray, minima: FloatArray, row_scales: FloatArray, row_minima: FloatArray
) -> Fit:
    """The 6-bit numbers of each group; a scale is never 0."""
    divisors = np.where(row_minima < 0, row_minima, -1)[:, None]
    factors = np.clip(np.rint(scales / row_scales[:, None]), 1, TOP_FACTOR)
    lows = np.where(row_minima[:, None] < 0, np.clip(np.rint(minima / divisors), 0, TOP_FACTOR), 0)
    return factors.astype(np.float32), lows.astype(np.float32)


def _refit_rows(
    groups: FloatArray,
    counts: FloatArray,
    codes: FloatArray,
    factors: FloatArray,
    lows: FloatArray,
    row_scales: FloatArray,
    row_minima: FloatArray,
) -> Fit:
    """The row's two fp16 numbers by least squares, where both are of their sign."""
    x = codes * factors[..., None]
    y = np.broadcast_to(lows[..., None], x.shape)
    xx, yy, xy = (np.einsum("ngi,ngi,ngi->n", counts, a, b) for a, b in ((x, x), (y, y), (x, y)))
    xw, yw = (np.einsum("ngi,ngi,ngi->n", counts, a, groups) for a in (x, y))
    determinant = xx * yy - xy * xy
    solvable = determinant > 1e-6 * xx * yy
    safe = np.where(solvable, determinant, 1)
    scale, low = (yy * xw - xy * yw) / safe, (xx * yw - xy * xw) / safe
    good = solvable & (scale > SMALLEST_SCALE) & (low < 0)
    return _half(np.where(good, scale, row_scales)), _half(np.where(good, low, row_minima))


def _half(numbers: FloatArray) -> FloatArray:
    """The numbers as fp16 has them."""
    top = np.finfo(np.float16).max
    return np.clip(numbers, -top, top).astype(np.float16).astype(np.float32)
