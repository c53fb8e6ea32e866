"""Rotary positions: how far each pair of a head's numbers turns from one token to the next.

Source: transformers 5.24, `modeling_rope_utils.py`; Su et al. 2021 (arXiv:2104.09864);
for YaRN Peng et al. 2023 (arXiv:2309.00071).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadInput
from browser_runtime.low_bits.arrays import FloatArray
from browser_runtime.models.configuration.fields import FLAG, Fields, Rule, is_number, whole

# transformers' own.
DEFAULT_BASE = 10_000.0
POSITIVE = Rule("a number above 0", lambda value: is_number(value) and value > 0)
# A base beyond these gives frequencies that are no 32-bit floats.
BASE = Rule("a number from 1 to 1e12", lambda value: is_number(value) and 1 < value <= 1e12)
FACTOR = Rule("a number of at least 1", lambda value: is_number(value) and value >= 1)
POSITIONS = whole(1 << 24)
SHARED = {"rope_type", "type", "rope_theta"}
RULES: dict[str, dict[str, Rule]] = {
    "default": {},
    "linear": {"factor": FACTOR},
    "llama3": {
        "factor": FACTOR,
        "low_freq_factor": POSITIVE,
        "high_freq_factor": POSITIVE,
        "original_max_position_embeddings": POSITIONS,
    },
    "yarn": {
        "factor": FACTOR,
        "original_max_position_embeddings": POSITIONS,
        "attention_factor": POSITIVE,
        **dict.fromkeys(("beta_fast", "beta_slow", "mscale", "mscale_all_dim"), POSITIVE),
        "truncate": FLAG,
    },
}
NOT_OPTIONAL = ("factor", "low_freq_factor", "high_freq_factor")


@dataclass(frozen=True, slots=True)
class Rope:
    """The turn of each pair of numbers a token, and what queries and keys are multiplied by besides."""

    inverse_frequencies: tuple[float, ...]
    """Radians a token, one for each of a head's head_width / 2 pairs (i, i + head_width / 2)."""
    attention_factor: float = 1.0
    """On cosines and sines, so that scores grow by its square: YaRN's correction of the softmax."""

    def angles(self, first: int, n_tokens: int) -> tuple[FloatArray, FloatArray]:
        """Cosines and sines [n_tokens, pairs] of the positions from `first` on, computed in 64 bits."""
        turns = np.outer(np.arange(first, first + n_tokens), np.array(self.inverse_frequencies))
        cosines, sines = (turned(turns) * self.attention_factor for turned in (np.cos, np.sin))
        return cosines.astype(np.float32), sines.astype(np.float32)


def rotate(heads: FloatArray, cosines: FloatArray, sines: FloatArray) -> FloatArray:
    """The heads' vectors [tokens, heads, head_width], each pair turned by its position's angle."""
    half = cosines.shape[-1]
    first, second, rest = heads[..., :half], heads[..., half : 2 * half], heads[..., 2 * half :]
    cosines, sines = cosines[:, None], sines[:, None]
    turned = (first * cosines - second * sines, second * cosines + first * sines, rest)
    return np.concatenate(turned, axis=-1)


def read_rope(config: Fields, head_width: int, max_positions: int) -> Rope:
    """The positions that config.json asks for, under its old keys or its new one. Raises BadInput."""
    key = "rope_parameters" if config.get("rope_parameters") else "rope_scaling"
    fields = Fields(f"{key} of {config.file}", config.get(key, {}))
    kind = fields.get("rope_type", fields.get("type", "default"))
    if not isinstance(kind, str) or kind not in RULES:
        raise fields.refusal("rope_type" if fields.has("rope_type") else "type", f"one of {', '.join(RULES)}")
    fields.hold_to(
        RULES[kind]
        | {"rope_theta": BASE}
        | dict.fromkeys(
            ("rope_type", "type"), Rule(f"{kind}, as the other says", lambda value: value == kind)
        ),
        kind,
    )
    missing = next((name for name in NOT_OPTIONAL if name in RULES[kind] and fields.get(name) is None), None)
    if missing is not None:
        raise fields.refusal(missing, RULES[kind][missing].allowed)
    base = fields.get("rope_theta", config.get("rope_theta", DEFAULT_BASE))
    plain = base ** -(np.arange(0, head_width, 2, dtype=np.float64) / head_width)
    scaled, factor = SCALINGS[kind](plain, fields, float(base), max_positions)
    return Rope(tuple(map(float, scaled.astype(np.float32))), factor)


Scaled = tuple[np.ndarray[Any, np.dtype[np.float64]], float]


def _leave(plain: Any, *_: Any) -> Scaled:
    return plain, 1.0


def _scale_linearly(plain: Any, fields: Fields, *_: Any) -> Scaled:
    return plain / fields.get("factor"), 1.0


def _scale_llama3(plain: Any, fields: Fields, _: float, max_positions: int) -> Scaled:
    """Slow turns are slowed further, quick ones left, those between blended."""
    low, high = fields.get("low_freq_factor"), fields.get("high_freq_factor")
    if low >= high:
        raise fields.refusal("low_freq_factor", f"less than high_freq_factor, which is {high}")
    trained = fields.get("original_max_position_embeddings", max_positions)
    turns = trained * plain / (2 * math.pi)
    blend = np.clip((turns - low) / (high - low), 0, 1)
    return (1 - blend) * plain / fields.get("factor") + blend * plain, 1.0


def _scale_yarn(plain: Any, fields: Fields, base: float, max_positions: int) -> Scaled:
    """Pairs that turn less than `beta_slow` times over the trained length are slowed, quick ones left."""
    factor, n_pairs = fields.get("factor"), len(plain)
    trained = fields.get("original_max_position_embeddings", max_positions)

    def pair_of(n_turns: float) -> float:
        return n_pairs * math.log(trained / (n_turns * 2 * math.pi)) / math.log(base)

    low, high = pair_of(fields.get("beta_fast", 32)), pair_of(fields.get("beta_slow", 1))
    if fields.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, 2 * n_pairs - 1)
    ramp = np.clip((np.arange(n_pairs) - low) / (high - low if high != low else 0.001), 0, 1)
    return plain / factor * ramp + plain * (1 - ramp), _yarn_attention_factor(fields, factor)


def _yarn_attention_factor(fields: Fields, factor: float) -> float:
    def correction(scale: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * scale * math.log(factor) + 1.0

    own = fields.get("attention_factor")
    if own is not None:
        return float(own)
    above, below = fields.get("mscale"), fields.get("mscale_all_dim")
    return correction(above) / correction(below) if above and below else correction(1.0)


SCALINGS: dict[str, Callable[..., Scaled]] = {
    "default": _leave,
    "linear": _scale_linearly,
    "llama3": _scale_llama3,
    "yarn": _scale_yarn,
}


def check_frequencies(rope: Rope, head_width: int, what: str) -> Rope:
    """The rope where it fits heads of that width. Raises BadInput naming `what`."""
    numbers = rope.inverse_frequencies
    if len(numbers) != head_width // 2 or not all(is_number(number) and number >= 0 for number in numbers):
        raise BadInput(what, f"{len(numbers)} numbers", f"{head_width // 2} finite ones of at least 0")
    return rope
