"""From the tokens' vectors to the text's: the twin of `page/families/texts/sentence_modules.js`.

Source: sentence-transformers 6.2, `base/modules` and `sentence_transformer/modules`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import erf
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadInput
from browser_runtime.families.processor import Options
from browser_runtime.simulation.graphs import Array

# torch's own: of LayerNorm, of normalize, and of the pooling's division.
NORM_EPSILON, LENGTH_EPSILON, COUNT_EPSILON = 1e-5, 1e-12, 1e-9

Pool = Callable[[Array, int], Array]


def _mean(hidden: Array, first: int) -> Array:
    return np.asarray(hidden[first:].sum(axis=0) / max(len(hidden) - first, COUNT_EPSILON))


def _mean_sqrt(hidden: Array, first: int) -> Array:
    return np.asarray(hidden[first:].sum(axis=0) / np.sqrt(max(len(hidden) - first, COUNT_EPSILON)))


def _weighted_mean(hidden: Array, first: int) -> Array:
    """Each token counts as much as its place in the text, from 1."""
    weights = np.arange(1, len(hidden) + 1, dtype=np.float64)[first:]
    return np.asarray(weights @ hidden[first:] / max(weights.sum(), COUNT_EPSILON))


def _max(hidden: Array, first: int) -> Array:
    return np.asarray(hidden[first:].max(axis=0, initial=-np.inf))


def _first(hidden: Array, first: int) -> Array:
    return np.asarray(hidden[first if first < len(hidden) else 0])


def _last(hidden: Array, first: int) -> Array:
    return np.asarray(hidden[-1] * (first < len(hidden)))


POOLS: dict[str, Pool] = {
    "cls": _first,
    "max": _max,
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_sqrt,
    "weightedmean": _weighted_mean,
    "lasttoken": _last,
}
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "Identity": lambda x: x,
    "ReLU": lambda x: np.maximum(x, 0),
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "SiLU": lambda x: x / (1 + np.exp(-x)),
    "GELU": lambda x: x * 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2))),
    "Tanh": np.tanh,
}


def apply_modules(modules: Sequence[Mapping[str, Any]], hidden: Array, n_prompt: int) -> Array:
    """The text's vector from its tokens' [tokens, width]; the first `n_prompt` take no part."""
    pooling, *rest = modules
    vector = np.concatenate([POOLS[mode](hidden, n_prompt) for mode in pooling["modes"]])
    for module in rest:
        vector = STEPS[module["type"]](vector, module)
    return vector


def _dense(vector: Array, module: Mapping[str, Any]) -> Array:
    out = ACTIVATIONS[module["activation"]](module["weight"] @ vector + module.get("shift", 0))
    if not module["residual"]:
        return np.asarray(out)
    return np.asarray(out + (module["projection"] @ vector if "projection" in module else vector))


def _layer_norm(vector: Array, module: Mapping[str, Any]) -> Array:
    centred = vector - vector.mean()
    return np.asarray(centred / np.sqrt(vector.var() + NORM_EPSILON) * module["weight"] + module["shift"])


def _normalize(vector: Array, _: Mapping[str, Any]) -> Array:
    return vector / max(float(np.linalg.norm(vector)), LENGTH_EPSILON)


STEPS = {"dense": _dense, "layer_norm": _layer_norm, "normalize": _normalize}


def cut_vector(vector: Array, options: Options) -> Array:
    """The vector's first `dimensions` numbers, at length 1 where the request wants it. Raises BadInput."""
    size = options.get("dimensions", len(vector))
    if size > len(vector):
        raise BadInput("options.dimensions", repr(size), f"at most {len(vector)}, what the model gives")
    cut = vector[:size]
    return _normalize(cut, {}) if options.get("normalize") else cut
