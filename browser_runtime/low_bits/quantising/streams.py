"""Windows of text on their way through a model, layer by layer: no more than one layer's weights are held."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from browser_runtime.low_bits.arrays import FloatArray, IntArray
from browser_runtime.low_bits.forward import Decoder, ExactCache, ExactTensors
from browser_runtime.low_bits.packed_tensors import PackedTensors
from browser_runtime.low_bits.quantising.matrices import InputStatistics
from browser_runtime.low_bits.shape import DecoderShape

INPUT_OF = {
    "q": "qkv",
    "k": "qkv",
    "v": "qkv",
    "o": "o",
    "gate": "gate_up",
    "up": "gate_up",
    "down": "down",
}
"""Which input each matrix of a layer reads."""

Layer = Mapping[str, FloatArray]
"""A layer's tensors by their names in it."""


@dataclass
class ResidualStream:
    """Windows of tokens, and the residual stream of each after the layers so far."""

    shape: DecoderShape
    states: list[FloatArray]

    @classmethod
    def start(cls, shape: DecoderShape, windows: list[IntArray], embedding: FloatArray) -> ResidualStream:
        """The windows' embeddings."""
        return cls(shape, [embedding[window] for window in windows])

    def advance(
        self,
        index: int,
        layer: Layer,
        bits: Mapping[str, int] | None = None,
        watch: Callable[[int, str, FloatArray], None] | None = None,
    ) -> None:
        """Runs one layer over all windows; with `bits`, as a page runs it, activations of 8 bits and all."""
        names = {f"layers.{index}.{name}": numbers for name, numbers in layer.items()}
        if bits is None:
            tensors: ExactTensors | PackedTensors = ExactTensors(self.shape, names)
        else:
            tensors = PackedTensors(
                self.shape, names, {f"layers.{index}.{name}": bits.get(name, 32) for name in layer}
            )
        decoder = Decoder(tensors, watch)
        self.states = [
            decoder.run_layer(index, x, self.shape.rope.angles(0, len(x)), ExactCache(self.shape))
            for x in self.states
        ]


class Statistics:
    """Sums of x x^T over what flows into a layer's matrices."""

    def __init__(self) -> None:
        self._sums: dict[str, FloatArray] = {}
        self._counts: dict[str, int] = {}
        self._found: dict[str, InputStatistics] = {}

    def __call__(self, _: int, what: str, x: FloatArray) -> None:
        """Adds the inputs [tokens, K] of one kind."""
        self._sums[what] = self._sums.get(what, np.float32(0)) + x.T @ x
        self._counts[what] = self._counts.get(what, 0) + len(x)
        self._found.pop(what, None)

    def of(self, name: str) -> InputStatistics:
        """Those of what the matrix of that name reads."""
        what = INPUT_OF[name]
        if what not in self._found:
            self._found[what] = InputStatistics(self._sums[what], self._counts[what])
        return self._found[what]
