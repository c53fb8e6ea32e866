"""A model, its tokenizer and what is known of its quantising, as the files of a folder."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.low_bits.packing import tensor_bytes
from browser_runtime.low_bits.quantising.bit_plan import BitPlan, fit_budget
from browser_runtime.low_bits.quantising.calibration import Calibration, read_calibration
from browser_runtime.low_bits.quantising.quantiser import Quantised, Quantiser, Tell
from browser_runtime.low_bits.quantising.sensitivity import measure_choices
from browser_runtime.low_bits.reading.sources import TOKENIZER, DecoderSource
from browser_runtime.low_bits.reading.weights import linear_names, tensor_shapes
from browser_runtime.models.files.paths import COPY_BYTES


@dataclass(frozen=True, slots=True)
class Wish:
    """A wish of the user: one plan, or the best one within so many bytes."""

    plan: BitPlan | None = None
    budget_bytes: int | None = None
    calibration: Path | None = None
    """A text of the user's; None: the one that ships."""


def quantise(source: DecoderSource, wish: Wish, folder: Path, tell: Tell) -> tuple[Quantised, BitPlan]:
    """Writes the packed weights into the folder. Raises BadInput or BadRequest for what cannot be done."""
    tokenizer = source.companions.get(TOKENIZER)
    if tokenizer is None:
        raise BadRequest(f"{source.name} has no {TOKENIZER}, which the calibration text and prompts need")
    calibration = read_calibration(tokenizer, source.shape, wish.calibration)
    plan = wish.plan if wish.plan is not None else _plan_within(source, calibration, wish, tell)
    plan.check(source.shape)
    done = Quantiser(source.weights, calibration, folder, tell).run(plan, _describe(source))
    return done, plan


def _plan_within(source: DecoderSource, calibration: Calibration, wish: Wish, tell: Tell) -> BitPlan:
    """The plan whose measured loss is least within the budget."""
    assert wish.budget_bytes is not None
    shapes = tensor_shapes(source.shape)
    chosen = {"embedding", "head", *linear_names(source.shape)}
    others = sum(tensor_bytes(32, sizes) for name, sizes in shapes.items() if name not in chosen)
    least = BitPlan(2, embedding=4, head=4).size_bytes(source.shape)
    if least > wish.budget_bytes:  # said before anything is measured
        allowed = f"at least {least / 1e6:.1f}, which this model takes in its fewest bits"
        raise BadInput("--budget-mb", f"{wish.budget_bytes / 1e6:g}", allowed)
    return fit_budget(measure_choices(source.weights, calibration, tell), others, wish.budget_bytes)


def _describe(source: DecoderSource) -> dict[str, Any]:
    """The source of the weights."""
    return {"source": {"name": source.name, "files": hash_parts(source)}, "license": source.license}


def hash_parts(source: DecoderSource) -> dict[str, str]:
    """The SHA-256 of each file that the weights were read from."""
    found: dict[str, str] = {}
    for path in source.parts:
        digest = hashlib.sha256()
        with source.home.open(path) as stream:
            while chunk := stream.read(COPY_BYTES):
                digest.update(chunk)
        found[path] = digest.hexdigest()
    return found
