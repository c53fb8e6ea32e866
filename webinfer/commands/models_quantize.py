"""`webinfer models quantize`: language models of fewer bits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from browser_runtime.contract.errors import BadInput
from browser_runtime.models.store import ModelStore
from webinfer.commands.parameters import Number
from webinfer.tables import SafeConsole
from webinfer.words import say

if TYPE_CHECKING:
    from browser_runtime.low_bits.quantising.packing_up import Wish
    from browser_runtime.low_bits.reading.sources import DecoderSource


@click.command("quantize")
@click.argument("model")
@click.option("--bits", type=click.Choice(["2", "3", "4", "8", "16"]), help="The same bits for all weights.")
@click.option(
    "--budget-mb",
    type=Number(0, 1e6, min_open=True, unit="MB"),
    help="The best mixture of bits, as measured, that takes no more than this.",
)
@click.option("--plan", type=click.Path(path_type=Path), help="A TOML file with bits by tensor.")
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    help="A text like those the model is for. Default: one that comes with webinfer.",
)
@click.option("--name", help="Name that requests will use. Default: the model's name and its bits.")
@click.option(
    "--output", type=click.Path(path_type=Path), help="Write a folder instead of storing the model."
)
def quantize_model(
    model: str,
    bits: str | None,
    budget_mb: float | None,
    plan: Path | None,
    calibration: Path | None,
    name: str | None,
    output: Path | None,
) -> None:
    """Store a language model or an encoder with fewer bits.

    MODEL is a GGUF file, a folder with a LLaMA, SmolLM2, Qwen2, Qwen3 or Mistral in safetensors, or a stored
    model of 16 bits. Give one of --bits, --budget-mb and --plan. It may also be a folder with a BERT or a ViT
    in safetensors, with --bits 8: it is stored in fp32 and in 8bit.
    """
    from browser_runtime.models.intake.packed_folders import name_precision
    from browser_runtime.models.intake.quantising import find_source
    from browser_runtime.models.intake.quantising_encoders import (
        is_encoder,
        refuse_choices,
        require_known_type,
    )

    if is_encoder(Path(model)):
        refuse_choices(bits, budget_mb=budget_mb, plan=plan, calibration=calibration, output=output)
        pack_encoder(Path(model), name or f"{Path(model).name}-8bit")
        return
    require_known_type(Path(model))
    wish = _read_wish(bits, budget_mb, plan, calibration)
    source = find_source(model, ModelStore())
    pack(source, wish, name or f"{source.name}-{name_precision(wish)}", output)


def pack_encoder(path: Path, name: str) -> None:
    """Put an encoder into the store in fp32 and 8bit, and print how near they are."""
    from browser_runtime.models.intake.quantising_encoders import quantise_encoder

    made = quantise_encoder(path, name, ModelStore())
    say(f"{made.model.name} in {' and '.join(made.model.precisions)}, in {made.model.folder}")
    click.echo(
        f"{made.size_bytes / 1e6:.1f} MB in 8bit; the cosine to fp32 is {made.least_cosine:.5f} or more on "
        f"{made.samples}"
    )


def pack(source: DecoderSource, wish: Wish, name: str, output: Path | None) -> None:
    """Pack a language model into the store, or into a folder, and print what came of it."""
    from browser_runtime.models.intake.packed_folders import quantise_to_folder
    from browser_runtime.models.intake.quantising import quantise_to_store

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=SafeConsole(stderr=True)) as bars:
        bar = bars.add_task("reading", total=None)

        def tell(step: str, done: int, total: int) -> None:
            bars.update(bar, description=step, completed=done, total=total)

        if output is None:
            made = quantise_to_store(source, wish, name, ModelStore(), tell)
        else:
            made = quantise_to_folder(source, wish, output, tell)
    found = made.quantised.divergence
    say(f"{made.name} in {made.precision}, in {made.folder}")
    click.echo(
        f"{made.quantised.size_bytes / 1e6:.1f} MB, {made.quantised.bits_a_weight:.2f} bits a weight; "
        f"KL {found.kl:.4f}, the same likeliest token {found.top1:.1%}, "
        f"perplexity {found.perplexity:.2f} instead of {found.original_perplexity:.2f} "
        f"over {found.n_tokens} tokens"
    )


def _read_wish(
    bits: str | None, budget_mb: float | None, plan: Path | None, calibration: Path | None
) -> Wish:
    """Read the options. Raises BadInput if they name several ways to choose bits, or none."""
    from browser_runtime.low_bits.quantising.bit_plan import ENDS_BITS, BitPlan
    from browser_runtime.low_bits.quantising.packing_up import Wish

    given = {"--bits": bits, "--budget-mb": budget_mb, "--plan": plan}
    named = [option for option, value in given.items() if value is not None]
    if len(named) != 1:
        raise BadInput(" ".join(given), " and ".join(named) or "not given", "exactly one of the three")
    if bits is not None:
        ends = max(int(bits), ENDS_BITS)
        return Wish(BitPlan(int(bits), ends, ends), calibration=calibration)
    if plan is not None:
        return Wish(BitPlan.read(plan), calibration=calibration)
    assert budget_mb is not None
    return Wish(budget_bytes=int(budget_mb * 1e6), calibration=calibration)
