"""`webinfer compare`: two arms that differ in anything, in turn, until the difference is known."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from webinfer import endings
from webinfer.commands.laboratory import (
    BUDGET,
    JSON_FILE,
    MODEL,
    NO_HISTORY,
    WITHIN,
    keep,
    result_console,
    watching,
)


@click.command("compare")
@MODEL
@click.option("--a", "text_a", default="", help="The one arm: NAME=VALUE words, in quotes.")
@click.option("--b", "text_b", default="", help="The other arm.")
@click.option("--both", default="", help="Words for both arms.")
@WITHIN
@BUDGET
@JSON_FILE
@NO_HISTORY
def command(
    model: str,
    text_a: str,
    text_b: str,
    both: str,
    within: float,
    budget_s: float,
    json_file: Path | None,
    no_history: bool,
) -> None:
    """Compare two arms on MODEL: how much slower is b, and in which step?

    An arm is a line of words such as `browser=chrome backend=wasm flag=--js-flags=--no-liftoff`: model,
    browser, binary, driver, flag, pref, backend, precision, threads, option.NAME, WEBINFER_NAME. Both run in
    turn (ABBA) in blocks of fresh sessions, until the interval of their ratio is narrow or the budget spent.
    Ctrl-C ends it with what is known by then.
    """
    from scheduler.experiments.comparisons import tabulate_comparison
    from webinfer.bench.laboratory import verdicts
    from webinfer.bench.laboratory.arms import parse_arm
    from webinfer.bench.laboratory.comparing import STOPPED, Limits, compare
    from webinfer.bench.laboratory.documents import comparison_document
    from webinfer.bench.laboratory.terminal import rich_table

    a, b = (parse_arm(f"{both} {text}", model, name) for text, name in ((text_a, "--a"), (text_b, "--b")))
    for arm in (a, b):
        arm.runtime_settings()
    with watching("starting") as watch:
        show = lambda found: watch.note(verdicts.progress(found))  # noqa: E731
        comparison = asyncio.run(compare(a, b, Limits(within, budget_s), watch.tell, show))
    document = comparison_document(comparison)
    keep(document, json_file, no_history=no_history)
    console = result_console(json_file)
    for line in verdicts.describe_arms(comparison):
        console.print(line, markup=False)
    n = len(comparison.blocks)
    title = f"{n} block{'s' if n != 1 else ''} of fresh sessions"
    console.print(rich_table(tabulate_comparison(document), title))
    console.print(verdicts.sentence(comparison), style="bold", markup=False)
    for line in (verdicts.answers(comparison), verdicts.ending(comparison)):
        console.print(line, markup=False)
    if comparison.cut:
        sys.exit(endings.STOPPED if comparison.cut == STOPPED else endings.FAILED)
