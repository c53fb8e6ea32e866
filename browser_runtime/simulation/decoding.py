"""Greedy decoding over a merged decoder graph with its key-value cache.

Source: optimum's merged decoders (`use_cache_branch`, `past_key_values.<layer>.<part>.<key|value>`).
The twin of `page/families/sounds/decoding.js`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from browser_runtime.contract.errors import BadOutput
from browser_runtime.models.configuration.decoding import DecodingPlan, Stamps
from browser_runtime.simulation.graphs import Array, Graph, require_choice
from browser_runtime.simulation.stamps import bar_unordered


class SpeechDecoder:
    """A merged decoder: the first step without a cache, the others with it."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._empty = {
            name: np.zeros(empty_shape(entry.sizes), np.float32)
            for name, entry in graph.inputs.items()
            if name.startswith("past_key_values.")
        }

    def decode(
        self, heard: Array, prompt: list[int], plan: DecodingPlan, limit: int, stamps: Stamps | None = None
    ) -> list[int]:
        """The tokens that follow the prompt, without the one that ends them.

        `heard` is the encoder's output: [1, positions, width].
        """
        tokens: list[int] = []
        cache, known = self._empty, prompt
        while len(tokens) < limit:
            logits, cache = self._step(known, heard, cache, cached=bool(tokens))
            barred = plan.never if tokens else (*plan.never, *plan.not_first)
            token = choose_token(logits, barred, tokens, stamps)
            if token in plan.ends:
                break
            tokens.append(token)
            known = [token]
        return tokens

    def pick(self, heard: Array, prompt: list[int], allowed: list[int]) -> int:
        """The likeliest of `allowed` right after the prompt."""
        logits, _ = self._step(prompt, heard, self._empty, cached=False)
        return allowed[int(logits[allowed].argmax())]

    def _step(
        self, ids: list[int], heard: Array, cache: dict[str, Array], cached: bool
    ) -> tuple[Array, dict[str, Array]]:
        """The logits after the last of `ids`, and the cache that then holds them too."""
        feeds = {
            "input_ids": np.array([ids], np.int64),
            "encoder_hidden_states": heard,
            "use_cache_branch": np.array([cached]),
        }
        outputs = self._graph.run(feeds | cache)
        fresh = {name: outputs[name.replace("past_key_values", "present")] for name in cache}
        # The sound's own keys and values come from the first step alone; later ones give placeholders.
        kept = {
            name: cache[name] if cached and ".encoder." in name else array for name, array in fresh.items()
        }
        return require_choice(outputs["logits"][0, -1]), kept


def empty_shape(sizes: tuple[int | None, ...]) -> list[int]:
    """Batch 1 and no past: the dimensions that a graph leaves open are [batch, past]."""
    return [int(axis == 0) if size is None else size for axis, size in enumerate(sizes)]


def choose_token(
    logits: Array, barred: tuple[int, ...], tokens: Sequence[int] = (), stamps: Stamps | None = None
) -> int:
    """The likeliest token that is not barred, the lower of equals. Raises BadOutput if all are.

    With `stamps` also those are barred that would break the order of stamps after `tokens`.
    """
    allowed = logits.copy()
    allowed[[token for token in barred if 0 <= token < len(logits)]] = -np.inf
    if stamps is not None:
        allowed = bar_unordered(allowed, tokens, stamps)
    token = int(allowed.argmax())
    if allowed[token] == -np.inf:
        raise BadOutput("every token is suppressed")
    return token
