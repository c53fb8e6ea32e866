"""The next token from its logits: the twin of `page/engines/low_bits/sampler.js`, number by number.

As transformers does it: repetition penalty, temperature, top_k, top_p, then chance, here Mulberry32's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from browser_runtime.low_bits.arrays import FloatArray

MASK = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a token is chosen; the defaults take the likeliest one."""

    temperature: float = 0.0
    """0: the likeliest token, whatever the rest says."""
    top_k: int = 0
    """0: all."""
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    """On tokens that were there, in the prompt too; 1: none."""
    seed: int = 0


def uniform(seed: int) -> Iterator[float]:
    """Numbers in [0, 1): Mulberry32, as `page/kernels/random.js` has it."""
    state = seed & MASK
    while True:
        state = (state + 0x6D2B79F5) & MASK
        mixed = (state ^ (state >> 15)) * (1 | state) & MASK
        mixed = (mixed + ((mixed ^ (mixed >> 7)) * (61 | mixed) & MASK) & MASK) ^ mixed
        yield ((mixed ^ (mixed >> 14)) & MASK) / 2**32


class Sampler:
    """Chooses token after token of one text."""

    def __init__(self, sampling: Sampling, prompt: Sequence[int]) -> None:
        self._sampling = sampling
        self._seen = set(prompt)
        self._chances = uniform(sampling.seed)

    def sample(self, logits: FloatArray) -> int:
        """The token, for logits [vocabulary], which stay as they are."""
        penalty = self._sampling.repetition_penalty
        scores = logits if penalty == 1 else self._penalise(logits, penalty)
        token = self._draw(scores) if self._sampling.temperature > 0 else int(np.argmax(scores))
        self._seen.add(token)
        return token

    def _penalise(self, logits: FloatArray, penalty: float) -> FloatArray:
        seen, changed = np.fromiter(self._seen, np.int64), logits.copy()
        scores = logits[seen].astype(np.float64)
        changed[seen] = np.where(scores > 0, scores / penalty, scores * penalty)
        return changed

    def _draw(self, logits: FloatArray) -> int:
        tokens, weights = self._keep(logits)
        # One after another, as the page does it: another order rounds otherwise.
        rest = next(self._chances) * float(np.cumsum(weights)[-1])
        for token, weight in zip(tokens.tolist(), weights.tolist(), strict=True):
            rest -= weight
            if rest < 0:
                return int(token)
        return int(tokens[-1])

    def _keep(self, logits: FloatArray) -> tuple[Any, Any]:
        """The tokens that top_k and top_p leave, with weights that need not add up to 1."""
        top_k, top_p = self._sampling.top_k, self._sampling.top_p
        floor = np.partition(logits, -top_k)[-top_k] if 0 < top_k < len(logits) else -np.inf
        tokens = np.flatnonzero(logits >= floor)
        weights = np.exp(
            (logits[tokens].astype(np.float64) - float(logits.max())) / self._sampling.temperature
        )
        if top_p >= 1:
            return tokens, weights
        total = float(np.cumsum(weights)[-1])
        # Tokens lighter than this weigh, all of them together, less than what top_p leaves out.
        heavy = weights >= (1 - top_p) * total / len(weights)
        tokens, weights = tokens[heavy], weights[heavy]
        order = np.argsort(-weights, kind="stable")
        tokens, weights = tokens[order], weights[order]
        end = int(np.searchsorted(np.cumsum(weights), top_p * total)) + 1
        return tokens[:end], weights[:end]
