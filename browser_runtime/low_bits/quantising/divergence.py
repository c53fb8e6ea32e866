"""The distance of the packed model's next-token probabilities from the original's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from browser_runtime.low_bits.arrays import FloatArray, IntArray

# Logits of so many tokens at once: 50 MB for a vocabulary of 49,152.
TOKENS_AT_ONCE = 128


@dataclass(frozen=True, slots=True)
class Divergence:
    """Over the positions of some text, each predicting the next token."""

    kl: float
    """Mean Kullback-Leibler divergence of the original's probabilities to the packed model's, in nats."""
    top1: float
    """The part of the positions whose likeliest token is the same."""
    perplexity: float
    original_perplexity: float
    n_tokens: int

    def to_plain(self) -> dict[str, float | int]:
        """Plain values, rounded to what they are good for."""
        return {
            "kl": round(self.kl, 5),
            "top1": round(self.top1, 4),
            "perplexity": round(self.perplexity, 3),
            "original_perplexity": round(self.original_perplexity, 3),
            "n_tokens": self.n_tokens,
        }


def log_probabilities(logits: FloatArray) -> FloatArray:
    """Logarithms of the probabilities along the last axis."""
    shifted = logits - logits.max(-1, keepdims=True)
    normed: FloatArray = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return normed


class DivergenceMeter:
    """Adds up positions, a few at a time."""

    def __init__(self) -> None:
        self._sums = np.zeros(4)
        self._n_tokens = 0

    def add(self, original: FloatArray, packed: FloatArray, following: IntArray) -> None:
        """Logits [tokens, vocabulary] of both, and the token that follows each position."""
        a, b = log_probabilities(original), log_probabilities(packed)
        rows = np.arange(len(following))
        self._sums += (
            float((np.exp(a) * (a - b)).sum()),
            float((a.argmax(-1) == b.argmax(-1)).sum()),
            -float(b[rows, following].sum()),
            -float(a[rows, following].sum()),
        )
        self._n_tokens += len(following)

    def result(self) -> Divergence:
        """The measured figures."""
        kl, top1, packed, original = (self._sums / max(self._n_tokens, 1)).tolist()
        return Divergence(kl, top1, float(np.exp(packed)), float(np.exp(original)), self._n_tokens)
