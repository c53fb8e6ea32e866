"""The bits of each matrix: the same for all, by patterns in a TOML file, or as a budget allows."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.low_bits.packing import BITS, tensor_bytes
from browser_runtime.low_bits.reading.weights import linear_names, tensor_shapes
from browser_runtime.low_bits.shape import DecoderShape
from browser_runtime.models.files.paths import shorten

ENDS_BITS = 8
"""Of embedding and head unless asked otherwise: their error reaches every token undiminished."""
MAX_PLAN_BYTES = 1 << 20
ALLOWED = f"one of {', '.join(map(str, BITS))}"
KEYS = ("default", "embedding", "head", "tensors")


@dataclass(frozen=True, slots=True)
class BitPlan:
    """Bits by tensor, where nothing else is said `default`."""

    default: int
    embedding: int = ENDS_BITS
    head: int = ENDS_BITS
    tensors: dict[str, int] = field(default_factory=dict)
    """By name, or by a pattern such as "*.down"; of several that fit, the last counts."""

    @classmethod
    def read(cls, path: Path) -> BitPlan:
        """The plan in a TOML file. Raises BadInput naming the key, BadRequest where it is no TOML."""
        try:
            with path.open("rb") as stream:
                content = stream.read(MAX_PLAN_BYTES + 1)
            if len(content) > MAX_PLAN_BYTES:
                raise BadRequest(f"{path.name} holds more than the {MAX_PLAN_BYTES} bytes allowed")
            plain = tomllib.loads(content.decode("utf-8"))
        except OSError as error:
            raise BadInput("--plan", repr(str(path)), f"a TOML file ({error.strerror})") from error
        except RecursionError as error:
            raise BadRequest(f"{path.name} is nested too deeply") from error
        except ValueError as error:
            raise BadRequest(f"{path.name} is no TOML: {error}") from error
        for key in plain:
            if key not in KEYS:
                allowed = f"left out: keys are {', '.join(KEYS)}"
                raise BadInput(f"{key} of {path.name}", shorten(plain[key]), allowed)
        tensors = plain.get("tensors", {})
        if not isinstance(tensors, dict):
            raise BadInput(f"tensors of {path.name}", shorten(tensors), "a table of bits by tensor")
        for name, bits in (*((key, plain.get(key, ENDS_BITS)) for key in KEYS[:3]), *tensors.items()):
            if type(bits) is not int or bits not in BITS:
                raise BadInput(f"{name} of {path.name}", shorten(bits), ALLOWED)
        if "default" not in plain:
            raise BadInput(f"default of {path.name}", "missing", ALLOWED)
        return cls(**{key: plain[key] for key in KEYS if key in plain})

    def check(self, shape: DecoderShape) -> None:
        """Returns where each pattern fits a matrix of the model. Raises BadInput for one that fits none."""
        names = tuple(linear_names(shape))
        for pattern in self.tensors:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise BadInput(
                    "the plan's tensor", repr(pattern), f"a matrix of the model, such as {names[0]!r}"
                )

    def bits_of(self, name: str) -> int:
        """The bits of a matrix."""
        if name in ("embedding", "head"):
            return self.embedding if name == "embedding" else self.head
        fitting = (bits for pattern, bits in self.tensors.items() if fnmatchcase(name, pattern))
        return next(reversed(list(fitting)), self.default)

    def size_bytes(self, shape: DecoderShape) -> int:
        """Bytes that the model will take, vectors and all."""
        return sum(
            tensor_bytes(32 if len(sizes) == 1 else self.bits_of(name), sizes)
            for name, sizes in tensor_shapes(shape).items()
        )

    def bits_a_weight(self, shape: DecoderShape) -> float:
        """The mean over the layers' matrices, scales and minima counted."""
        shapes = tensor_shapes(shape)
        names = tuple(linear_names(shape))
        stored = sum(tensor_bytes(self.bits_of(name), shapes[name]) for name in names)
        return 8 * stored / sum(shapes[name][0] * shapes[name][1] for name in names)

    def to_plain(self) -> dict[str, Any]:
        """Plain values, as the TOML file has them."""
        return {
            "default": self.default,
            "embedding": self.embedding,
            "head": self.head,
            "tensors": dict(self.tensors),
        }


@dataclass(frozen=True, slots=True)
class BitChoice:
    """One matrix in one number of bits: what it takes, and what it is measured to cost."""

    name: str
    bits: int
    size_bytes: int
    loss: float
    """The part of the model's KL divergence that comes of it."""


def fit_budget(choices: list[BitChoice], other_bytes: int, budget_bytes: int) -> BitPlan:
    """The plan with the least loss within the budget, by steps of the best gain a byte.

    other_bytes: what is not chosen. Raises BadInput where even the smallest does not fit.
    """
    by_name: dict[str, list[BitChoice]] = {}
    for choice in sorted(choices, key=lambda choice: choice.size_bytes):
        by_name.setdefault(choice.name, []).append(choice)
    taken = {name: options[0] for name, options in by_name.items()}
    spent = other_bytes + sum(choice.size_bytes for choice in taken.values())
    if spent > budget_bytes:
        least = f"at least {spent / 1e6:.1f} MB, which this model takes in its fewest bits"
        raise BadInput("--budget-mb", f"{budget_bytes / 1e6:g}", least)
    while step := _best_step(by_name, taken, budget_bytes - spent):
        spent += step.size_bytes - taken[step.name].size_bytes
        taken[step.name] = step
    matrices = {name: choice.bits for name, choice in taken.items() if name not in ("embedding", "head")}
    ends = {name: choice.bits for name, choice in taken.items() if name in ("embedding", "head")}
    return BitPlan(min(matrices.values()), tensors=matrices, **ends)


def _best_step(
    by_name: dict[str, list[BitChoice]], taken: dict[str, BitChoice], left_bytes: int
) -> BitChoice | None:
    """The larger choice that gains most a byte among those there is room for."""

    def gain(step: BitChoice) -> float:
        now = taken[step.name]
        return (now.loss - step.loss) / (step.size_bytes - now.size_bytes)

    steps = [
        option
        for name, options in by_name.items()
        for option in options
        if 0 < option.size_bytes - taken[name].size_bytes <= left_bytes and option.loss < taken[name].loss
    ]
    return max(steps, key=gain, default=None)
