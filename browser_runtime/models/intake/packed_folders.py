"""A language model packed into a folder: tokenizer, template, and its weights in one precision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from browser_runtime.contract.errors import BadInput, BadOutput, SetupError
from browser_runtime.low_bits.quantising.bit_plan import BitPlan
from browser_runtime.low_bits.quantising.packing_up import Wish, quantise
from browser_runtime.low_bits.quantising.quantiser import Quantised, Tell
from browser_runtime.low_bits.reading.sources import DecoderSource

# What a stored model is quantised from: the folder of its exact weights.
EXACT = "fp16"


@dataclass(frozen=True, slots=True)
class QuantisedModel:
    """A model that was quantised, and where it is now."""

    folder: Path
    name: str
    precision: str
    plan: BitPlan
    quantised: Quantised


def name_precision(wish: Wish) -> str:
    """The word for what a wish gives: 2bit, 3bit, 4bit, 8bit, fp16 or mixed."""
    plan = wish.plan
    if plan is None or plan.tensors:
        return "mixed"
    words = {16: EXACT, 32: "fp32"}
    return words.get(plan.default, f"{plan.default}bit")


def quantise_to_folder(source: DecoderSource, wish: Wish, folder: Path, tell: Tell) -> QuantisedModel:
    """Writes tokenizer and packed weights into a new folder.

    Raises BadInput for a folder that holds something, and like `quantise`.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput("--output", repr(str(folder)), "a new or empty folder")
    precision = name_precision(wish)
    try:
        (folder / precision).mkdir(parents=True, exist_ok=True)
        source.write_companions(folder)
        done, plan = quantise(source, wish, folder / precision, tell)
    except OSError as error:
        raise SetupError(f"room or access for {folder}", f"writing it failed: {error}") from error
    if not done.divergence.kl < float("inf"):
        raise BadOutput("the packed model's logits are not finite on the calibration text")
    return QuantisedModel(folder, folder.name, precision, plan, done)
