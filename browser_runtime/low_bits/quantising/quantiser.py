"""A model's weights, layer by layer, into the packed format, with what it cost measured on the way."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from browser_runtime.low_bits.arrays import FloatArray
from browser_runtime.low_bits.forward import normalise
from browser_runtime.low_bits.model_file import FILE, describe_architecture
from browser_runtime.low_bits.packed_file import ModelWriter
from browser_runtime.low_bits.packed_tensors import round_activations
from browser_runtime.low_bits.packing import pack_floats
from browser_runtime.low_bits.quantising.bit_plan import BitPlan
from browser_runtime.low_bits.quantising.blas_threads import one_blas_thread
from browser_runtime.low_bits.quantising.calibration import Calibration
from browser_runtime.low_bits.quantising.divergence import TOKENS_AT_ONCE, Divergence, DivergenceMeter
from browser_runtime.low_bits.quantising.matrices import (
    QuantisedMatrix,
    quantise_matrix,
    quantise_together,
)
from browser_runtime.low_bits.quantising.rotation import can_rotate, rotate_values
from browser_runtime.low_bits.quantising.streams import INPUT_OF, ResidualStream, Statistics
from browser_runtime.low_bits.reading.weights import LINEARS, DecoderWeights, layer_shapes

Tell = Callable[[str, int, int], None]
"""Told of a step in words, of how many are done, and of how many there are."""

MAX_THREADS = 8


@dataclass(frozen=True, slots=True)
class Quantised:
    """The result of quantising."""

    files: list[str]
    divergence: Divergence
    size_bytes: int
    bits_a_weight: float


def read_layer(weights: DecoderWeights, index: int) -> dict[str, FloatArray]:
    """One layer's tensors by their names in it, its values rotated where that can be."""
    layer = {name: weights.read(f"layers.{index}.{name}") for name in layer_shapes(weights.shape)}
    is_due = can_rotate(weights.shape) and not weights.values_rotated
    return rotate_values(weights.shape, layer) if is_due else layer


class Quantiser:
    """Takes a decoder's weights through the plan, once."""

    def __init__(self, weights: DecoderWeights, calibration: Calibration, folder: Path, tell: Tell) -> None:
        self.weights, self.shape, self.calibration = weights, weights.shape, calibration
        self._writer, self._tell = ModelWriter(folder), tell

    def run(self, plan: BitPlan, about: Mapping[str, Any]) -> Quantised:
        """Writes the packed model. Raises BadRequest for a tensor that cannot be read."""
        plan.check(self.shape)
        total = self.shape.layers + 2
        self._tell("embedding", 0, total)
        embedding = self.weights.read("embedding")
        packed = quantise_matrix(embedding, plan.embedding, None)
        self._add("embedding", packed)
        fitted = ResidualStream.start(self.shape, self.calibration.fit, embedding)
        exact = ResidualStream.start(self.shape, self.calibration.check, embedding)
        rough = ResidualStream.start(self.shape, self.calibration.check, packed.numbers)
        with ThreadPoolExecutor(min(os.cpu_count() or 1, MAX_THREADS)) as threads, one_blas_thread():
            started: StartedLayer | None = None
            for index in range(self.shape.layers):
                self._tell(f"layer {index}", index + 1, total)
                layer, statistics = read_layer(self.weights, index), Statistics()
                # Needs exact weights alone: meanwhile the layer before is quantised.
                fitted.advance(index, layer, watch=statistics)
                bits = {name: plan.bits_of(f"layers.{index}.{name}") for name in LINEARS}
                before, started = started, StartedLayer.start(index, layer, bits, statistics, threads)
                if before is not None:
                    self._finish_layer(before, exact, rough)
            if started is not None:
                self._finish_layer(started, exact, rough)
        self._tell("head", total - 1, total)
        divergence = self._finish_ends(plan, embedding, packed, exact, rough)
        about = {
            **about,
            "plan": plan.to_plain(),
            "calibration": self.calibration.to_plain(),
            "measured": divergence.to_plain(),
        }
        rotated = can_rotate(self.shape) or self.weights.values_rotated
        files = self._writer.finish(FILE, describe_architecture(self.shape, rotated), about)
        self._tell("done", total, total)
        size_bytes = sum(shard.size_bytes for shard in self._writer.shards)
        return Quantised(files, divergence, size_bytes, plan.bits_a_weight(self.shape))

    def _add(self, name: str, matrix: QuantisedMatrix) -> None:
        self._writer.add(name, matrix.shape, matrix.bits, matrix.content)

    def _add_vector(self, name: str, vector: FloatArray) -> None:
        self._writer.add(name, vector.shape, 32, pack_floats(vector, 32))

    def _finish_layer(self, started: StartedLayer, exact: ResidualStream, rough: ResidualStream) -> None:
        """Writes a layer's tensors, and takes the text that is kept for measuring through it."""
        matrices, index, layer = started.matrices(), started.index, started.layer
        for name, numbers in layer.items():
            if name in matrices:
                self._add(f"layers.{index}.{name}", matrices[name])
            else:
                self._add_vector(f"layers.{index}.{name}", numbers)
        exact.advance(index, layer)
        numbers_of = {name: each.numbers for name, each in matrices.items()}
        rough.advance(index, layer | numbers_of, started.bits)

    def _finish_ends(
        self,
        plan: BitPlan,
        embedding: FloatArray,
        packed: QuantisedMatrix,
        exact: ResidualStream,
        rough: ResidualStream,
    ) -> Divergence:
        """Writes norm and head, and compares the logits of both streams."""
        norm, head = self.weights.read("norm"), embedding
        self._add_vector("norm", norm)
        if not self.shape.tied_head:
            head = self.weights.read("head")
            packed = quantise_matrix(head, plan.head, None)
            self._add("head", packed)
        meter = DivergenceMeter()
        for window, a, b in zip(self.calibration.check, exact.states, rough.states, strict=True):
            true, off = (normalise(x, norm, self.shape.norm_epsilon)[:-1] for x in (a, b))
            seen = round_activations(off) if packed.bits <= 8 else off
            for start in range(0, len(true), TOKENS_AT_ONCE):
                part = slice(start, start + TOKENS_AT_ONCE)
                meter.add(true[part] @ head.T, seen[part] @ packed.numbers.T, window[1:][part])
        return meter.result()


@dataclass(frozen=True, slots=True)
class StartedLayer:
    """A layer whose matrices are being quantised in other threads."""

    index: int
    layer: dict[str, FloatArray]
    bits: dict[str, int]
    _parts: list[Future[dict[str, QuantisedMatrix]]]

    @classmethod
    def start(
        cls,
        index: int,
        layer: dict[str, FloatArray],
        bits: dict[str, int],
        statistics: Statistics,
        threads: ThreadPoolExecutor,
    ) -> StartedLayer:
        """Quantises those together that read the same inputs in the same bits."""
        groups: dict[tuple[str, int], list[str]] = {}
        for name in LINEARS:
            groups.setdefault((INPUT_OF[name], bits[name]), []).append(name)
        # The largest first, so that none is left for the end.
        order = sorted(groups.values(), key=lambda names: -sum(layer[name].size for name in names))
        parts = [
            threads.submit(
                quantise_together,
                {name: layer[name] for name in names},
                bits[names[0]],
                statistics.of(names[0]),
            )
            for names in order
        ]
        return cls(index, layer, bits, parts)

    def matrices(self) -> dict[str, QuantisedMatrix]:
        """The matrices, once all are there."""
        return {name: matrix for part in self._parts for name, matrix in part.result().items()}
