"""A model's own weights in NumPy: the probabilities that every other precision is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from browser_runtime.low_bits.arrays import FloatArray, IntArray
from browser_runtime.low_bits.forward import normalise
from browser_runtime.low_bits.quantising.divergence import Divergence, DivergenceMeter
from browser_runtime.low_bits.quantising.quantiser import read_layer
from browser_runtime.low_bits.quantising.streams import ResidualStream
from browser_runtime.low_bits.reading.weights import DecoderWeights
from browser_runtime.low_bits.shape import DecoderShape

Tell = Callable[[str, int, int], None]
"""Told of a step in words, of how many are done, and of how many there are."""
PIECE_TOKENS = 128
"""Logits that are held at once: 25 MB for a vocabulary of 49,152."""


@dataclass(frozen=True, slots=True)
class Original:
    """Windows of a text, and what the exact weights make of them."""

    shape: DecoderShape
    windows: list[IntArray]
    head: FloatArray
    _hidden: list[FloatArray]

    @classmethod
    def compute(cls, weights: DecoderWeights, windows: list[IntArray], tell: Tell) -> Original:
        """Runs the windows through the weights, layer by layer."""
        shape, embedding = weights.shape, weights.read("embedding")
        stream = ResidualStream.start(shape, windows, embedding)
        for index in range(shape.layers):
            tell("the original weights", index, shape.layers)
            stream.advance(index, read_layer(weights, index))
        norm = weights.read("norm")
        head = embedding if shape.tied_head else weights.read("head")
        hidden = [normalise(states, norm, shape.norm_epsilon) for states in stream.states]
        return cls(shape, windows, head, hidden)

    @property
    def n_tokens(self) -> int:
        """Tokens that are predicted: all but each window's first."""
        return sum(len(window) - 1 for window in self.windows)

    def pieces(self) -> Iterator[tuple[int, slice]]:
        """(window, the positions of a piece of it): the last token of a window predicts nothing."""
        for index, window in enumerate(self.windows):
            for start in range(0, len(window) - 1, PIECE_TOKENS):
                yield index, slice(start, min(start + PIECE_TOKENS, len(window) - 1))

    def add(self, meter: DivergenceMeter, index: int, part: slice, logits: FloatArray) -> None:
        """Compares logits [tokens, vocabulary] of a piece with those of the exact weights."""
        following = self.windows[index][part.start + 1 : part.stop + 1]
        meter.add(self.logits(index, part), logits, following)

    def logits(self, index: int, part: slice) -> FloatArray:
        """The exact weights' logits [tokens, vocabulary] of a piece."""
        return np.asarray(self._hidden[index][part] @ self.head.T)

    def compare(self, states: list[FloatArray], norm: FloatArray) -> Divergence:
        """The divergence of residual streams that other weights have left, under the exact head."""
        meter = DivergenceMeter()
        for index, part in self.pieces():
            hidden = normalise(states[index][part], norm, self.shape.norm_epsilon)
            self.add(meter, index, part, np.asarray(hidden @ self.head.T))
        return meter.result()
