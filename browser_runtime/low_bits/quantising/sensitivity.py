"""Measure the cost of each matrix in each number of bits, for plans under a budget.

A layer's matrix is rounded alone, and the layer's output tells how far the residual stream moves. A stream
that starts behind the layer, all its matrices rounded, tells at the model's end what such a movement costs
in KL divergence. Small independent errors add up, so a matrix's loss is the product of both. Other numbers of
bits are scaled by the error of the true fit on some of the matrix's rows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from browser_runtime.low_bits.arrays import FloatArray
from browser_runtime.low_bits.forward import normalise
from browser_runtime.low_bits.packing import GROUP, tensor_bytes
from browser_runtime.low_bits.quantising.bit_plan import BitChoice
from browser_runtime.low_bits.quantising.blas_threads import one_blas_thread
from browser_runtime.low_bits.quantising.calibration import Calibration
from browser_runtime.low_bits.quantising.divergence import DivergenceMeter
from browser_runtime.low_bits.quantising.matrices import InputStatistics, quantise_matrix
from browser_runtime.low_bits.quantising.quantiser import MAX_THREADS, Tell, read_layer
from browser_runtime.low_bits.quantising.streams import ResidualStream, Statistics
from browser_runtime.low_bits.reading.weights import LINEARS, DecoderWeights, tensor_shapes

MATRIX_BITS = (2, 3, 4, 8)
END_BITS = (4, 8)
"""Of embedding and head: each error in them reaches every token."""
PROBE_BITS = 3
SAMPLE_TOKENS, FIT_TOKENS = 128, 512
# Rows are independent: a few of them tell a matrix's error to some percent.
SAMPLE_ROWS = 96


def measure_choices(weights: DecoderWeights, calibration: Calibration, tell: Tell) -> list[BitChoice]:
    """Each matrix in each number of bits, with its size and its part of the KL divergence."""
    return Sensitivity(weights, calibration).measure(tell)


class Sensitivity:
    """One pass over a model's layers."""

    def __init__(self, weights: DecoderWeights, calibration: Calibration) -> None:
        self._weights, self._shape = weights, weights.shape
        self._windows = [calibration.check[0][:SAMPLE_TOKENS]]
        self._embedding = weights.read("embedding")
        self._exact = ResidualStream.start(self._shape, self._windows, self._embedding)
        self._fitted = ResidualStream.start(self._shape, [calibration.fit[0][:FIT_TOKENS]], self._embedding)
        self._moved: list[tuple[ResidualStream, float]] = []
        """Streams that were moved behind a layer, the embedding first, and how far."""
        self._movements: list[dict[tuple[str, int], float]] = []
        """By layer: how far each matrix in each number of bits moves the stream."""

    def measure(self, tell: Tell) -> list[BitChoice]:
        """The choices."""
        total = self._shape.layers + 1
        ends = {bits: quantise_matrix(self._embedding, bits, None).numbers for bits in END_BITS}
        starts = {
            bits: ResidualStream.start(self._shape, self._windows, numbers) for bits, numbers in ends.items()
        }
        rough = starts[END_BITS[0]]
        self._moved.append((rough, self._distance(rough, self._exact)))
        by_bits = {bits: self._distance(start, self._exact) for bits, start in starts.items()}
        with ThreadPoolExecutor(min(os.cpu_count() or 1, MAX_THREADS)) as threads, one_blas_thread():
            for index in range(self._shape.layers):
                tell(f"measuring layer {index}", index, total)
                self._measure_layer(index, threads)
        tell("measuring the head", total - 1, total)
        losses = self._losses()
        embedding, *gains = [
            loss / distance if distance else 0.0
            for loss, (_, distance) in zip(losses, self._moved, strict=True)
        ]
        heads = self._head_losses(ends)
        return [*self._end_choices(embedding, by_bits, heads), *self._matrix_choices(gains)]

    @staticmethod
    def _distance(moved: ResidualStream, exact: ResidualStream) -> float:
        """The mean over tokens of the squared distance, of the squared length."""
        pairs = list(zip(moved.states, exact.states, strict=True))
        parts = [np.square(a - b).sum(-1) / np.square(b).sum(-1) for a, b in pairs]
        return float(np.concatenate(parts).mean())

    def _measure_layer(self, index: int, threads: ThreadPoolExecutor) -> None:
        layer, statistics = read_layer(self._weights, index), Statistics()
        self._fitted.advance(index, layer, watch=statistics)
        before = replace(self._exact)
        self._exact.advance(index, layer)
        for stream, _ in self._moved:
            stream.advance(index, layer)
        probes = {name: round_to_nearest(layer[name], PROBE_BITS) for name in LINEARS}

        def move(changes: dict[str, FloatArray]) -> ResidualStream:
            stream = replace(before)
            stream.advance(index, layer | changes)
            return stream

        whole = move(probes)
        self._moved.append((whole, self._distance(whole, self._exact)))

        def measure(name: str) -> dict[tuple[str, int], float]:
            distance = self._distance(move({name: probes[name]}), self._exact)
            errors = fit_errors(layer[name], probes[name], statistics.of(name))
            return {(name, bits): distance * ratio for bits, ratio in errors.items()}

        found: dict[tuple[str, int], float] = {}
        for part in threads.map(measure, LINEARS):
            found |= part
        self._movements.append(found)

    def _head(self) -> FloatArray:
        return self._embedding if self._shape.tied_head else self._weights.read("head")

    def _final(self, stream: ResidualStream) -> FloatArray:
        norm = self._weights.read("norm")
        return normalise(np.concatenate(stream.states), norm, self._shape.norm_epsilon)

    def _losses(self) -> list[float]:
        """The KL divergence at the end of each moved stream."""
        head, exact = self._head(), self._final(self._exact)
        return [_divergence(exact @ head.T, self._final(stream) @ head.T) for stream, _ in self._moved]

    def _head_losses(self, ends: dict[int, FloatArray]) -> dict[int, float]:
        head, exact = self._head(), self._final(self._exact)
        rough = (
            ends
            if self._shape.tied_head
            else {bits: quantise_matrix(head, bits, None).numbers for bits in END_BITS}
        )
        return {bits: _divergence(exact @ head.T, exact @ numbers.T) for bits, numbers in rough.items()}

    def _end_choices(
        self, gain: float, distances: dict[int, float], heads: dict[int, float]
    ) -> Iterator[BitChoice]:
        sizes = (self._shape.vocabulary, self._shape.width)
        for bits in END_BITS:
            loss, tied = gain * distances[bits], self._shape.tied_head
            yield BitChoice("embedding", bits, tensor_bytes(bits, sizes), loss + (heads[bits] if tied else 0))
            if not tied:
                yield BitChoice("head", bits, tensor_bytes(bits, sizes), heads[bits])

    def _matrix_choices(self, gains: list[float]) -> Iterator[BitChoice]:
        shapes = tensor_shapes(self._shape)
        for index, (gain, movements) in enumerate(zip(gains, self._movements, strict=True)):
            for (name, bits), movement in movements.items():
                full = f"layers.{index}.{name}"
                yield BitChoice(full, bits, tensor_bytes(bits, shapes[full]), gain * movement)


def _divergence(original: FloatArray, packed: FloatArray) -> float:
    meter = DivergenceMeter()
    meter.add(original, packed, np.zeros(len(original), np.int32))
    return meter.result().kl


def round_to_nearest(weights: FloatArray, bits: int) -> FloatArray:
    """The matrix with each group of 32 on a grid from its least number to its largest: quickly done."""
    n, k = weights.shape
    groups = np.pad(weights, ((0, 0), (0, -k % GROUP))).reshape(n, -1, GROUP)
    low = groups.min(-1, keepdims=True)
    step = np.maximum((groups.max(-1, keepdims=True) - low) / np.float32((1 << bits) - 1), np.float32(1e-12))
    rounded: FloatArray = np.rint((groups - low) / step) * step + low
    return rounded.reshape(n, -1)[:, :k]


def fit_errors(weights: FloatArray, probe: FloatArray, statistics: InputStatistics) -> dict[int, float]:
    """The error of the true fit in each number of bits, the probe's being 1, on some of the rows."""
    rows = np.linspace(0, len(weights) - 1, min(SAMPLE_ROWS, len(weights))).astype(int)
    some = np.ascontiguousarray(weights[rows])

    def error(numbers: FloatArray) -> float:
        off = some - numbers
        return float(np.einsum("nk,nk->", off @ statistics.hessian, off))

    whole = max(error(probe[rows]), 1e-30)
    return {bits: error(quantise_matrix(some, bits, statistics).numbers) / whole for bits in MATRIX_BITS}
