"""`webinfer load`: open-loop load through the real queue."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.vocabulary import Browser
from webinfer import endings
from webinfer.bench.laboratory.arrivals import PATTERNS, POISSON
from webinfer.commands.laboratory import DURATION, JSON_FILE, NO_HISTORY, RATE, keep, result_console, watching
from webinfer.commands.parameters import BACKENDS, BROWSER, NEW_FILE, ModelName

if TYPE_CHECKING:
    from webinfer.bench.laboratory.load import LoadedModel, LoadResult
    from webinfer.commands.laboratory import Watch

SHARE = 0.95
USUAL_RATE = 10.0


@click.command("load")
@click.argument("models", nargs=-1, required=True, type=ModelName())
@BROWSER
@click.option("--backend", type=BACKENDS, help="Backend of every request. Default: any.")
@click.option(
    "--sessions",
    "n_sessions",
    default=1,
    show_default=True,
    type=click.IntRange(1, 8),
    help="Browser sessions of the worker.",
)
@click.option("--rate", type=RATE, help="Requests a second, in the mean. Default: 10, or the trace's own.")
@click.option(
    "--pattern", default=POISSON, show_default=True, type=click.Choice(PATTERNS), help="How requests arrive."
)
@click.option(
    "--trace",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with arrival times in seconds, one a line, instead of a pattern.",
)
@click.option(
    "--duration",
    "seconds",
    default="20s",
    show_default=True,
    type=DURATION,
    help="Time of sending, at each rate.",
)
@click.option("--find-limit", is_flag=True, help="Find the highest rate that holds --p95.")
@click.option(
    "--p95",
    default="500ms",
    show_default=True,
    type=DURATION,
    help="With --find-limit: what 95 of 100 answers must come within.",
)
@click.option(
    "--running",
    is_flag=True,
    help="Send to the stack that is up (WEBINFER_BROKER_URL, `webinfer up`) instead of one of its own.",
)
@click.option("--picture", type=NEW_FILE, help="Draw latency against the offered rate into this SVG file.")
@JSON_FILE
@NO_HISTORY
def command(models: tuple[str, ...], json_file: Path | None, no_history: bool, **wanted: Any) -> None:
    """Send requests to MODELS, mixed at random, when they are due, whatever became of those before.

    A model that is named twice comes twice as often.

    Latency counts from the intended time of sending. Every answer is checked. Starts a private stack with one
    worker, or with --running uses the one that is up and tells what its autoscaler did. Ctrl-C ends it with
    what was answered by then.
    """
    from scheduler.experiments.load_picture import draw_load
    from scheduler.experiments.loads import tabulate_load, title_of
    from webinfer.bench.laboratory.documents import make_document
    from webinfer.bench.laboratory.load import LoadRun
    from webinfer.bench.laboratory.load_limit import Limit, find_limit
    from webinfer.bench.laboratory.terminal import rich_table

    _refuse_unused(click.get_current_context())
    plan = _read_plan(wanted)
    with watching("starting") as watch, _mix(models, wanted, watch) as (mix, sample):

        def try_rate(rate: float | None) -> LoadResult:
            return LoadRun(mix, *plan(rate)).run(watch.tell, sample)

        limit: Limit | None = None
        if wanted["find_limit"]:
            limit = find_limit(try_rate, SHARE, wanted["p95"] * 1000)
        results = limit.tried if limit else [try_rate(wanted["rate"])]
        is_cut = limit.is_cut if limit else results[0].is_cut
        if is_cut and not any(one.latencies_ms or one.errors for one in results):
            raise click.Abort
    verdict = limit.sentence() if limit else _sentence(results[0])
    limit_ms = wanted["p95"] * 1000 if limit else None
    body = {
        "models": list(models),
        "browser": wanted["browser"],
        "pattern": "trace" if wanted["trace"] else wanted["pattern"],
        "limit_ms": limit_ms,
        "carried_per_s": limit.carried_per_s if limit else None,
        "ran": {model.name: model.facts for model in mix},
        "runs": [one.to_plain() for one in results],
    }
    keep(make_document("load", verdict, body), json_file, no_history=no_history)
    if path := wanted["picture"]:
        path.write_text(draw_load(body["runs"], title_of(body), limit_ms))
    console = result_console(json_file)
    for line in dict.fromkeys(map(str, mix)):
        console.print(line, markup=False)
    console.print(rich_table(tabulate_load(body), "ms from the intended time"))
    console.print(verdict, style="bold", markup=False)
    if told := _autoscaler(results):
        console.print(told, markup=False)
    if is_cut:
        sys.exit(endings.STOPPED)


@contextmanager
def _mix(
    names: tuple[str, ...], wanted: dict[str, Any], watch: Watch
) -> Iterator[tuple[list[LoadedModel], Callable[[], int | None]]]:
    """The models, answered once and right, on a stack that is up; and who tells the workers wanted."""
    from browser_runtime.contract.setup.environment import variable
    from browser_runtime.settings import RuntimeSettings
    from webinfer.bench.laboratory.arms import COMPUTE_ALWAYS
    from webinfer.bench.laboratory.load_stack import (
        prepare_mix,
        require_models,
        require_worker,
        wanted_workers,
    )
    from webinfer.producing import use_broker
    from webinfer.stack.stack import Stack

    browser = Browser(wanted["browser"])
    if wanted["running"]:
        require_worker(browser)
        yield prepare_mix(names, browser, wanted["backend"], watch.tell), wanted_workers
        return
    require_models(names)
    watch.tell("starting a private stack")
    settings = {variable(RuntimeSettings, name): str(value) for name, value in COMPUTE_ALWAYS.items()}
    with Stack([browser], n_sessions=wanted["n_sessions"], settings=settings) as stack:
        use_broker(stack.broker_url)
        yield prepare_mix(names, browser, wanted["backend"], watch.tell), lambda: None


def _refuse_unused(context: click.Context) -> None:
    """Returns if every option that was given has an effect. Raises UsageError."""
    wanted = context.params
    unused = {
        "pattern": wanted["trace"] and "--trace has its own",
        "seconds": wanted["trace"] and "--trace has its own",
        "rate": wanted["find_limit"] and "--find-limit tries rates of its own",
        "p95": not wanted["find_limit"] and "it is of --find-limit",
        "n_sessions": wanted["running"] and "the stack that is up has its own",
    }
    flags = {each.name: each.opts[0] for each in context.command.params}
    for name, why in unused.items():
        if why and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{flags[name]} has no effect: {why}", context)


def _read_plan(wanted: dict[str, Any]) -> Callable[[float | None], tuple[list[float], float]]:
    """Gives the arrivals at a rate, and the seconds over which they come. Raises BadInput for none at all."""
    from webinfer.bench.autoscaling.recordings import read_recording
    from webinfer.bench.laboratory.arrivals import draw_arrivals, scale_trace
    from webinfer.bench.laboratory.load_limit import LEAST_REQUESTS, trial_seconds

    if wanted["trace"]:
        trace = read_recording(wanted["trace"], "--trace").arrivals
        if trace[-1] == trace[0]:
            problem = f"{wanted['trace']}, whose times are all one"
            raise BadInput("--trace", problem, "a file with two different times at least")
        if wanted["find_limit"] and len(trace) < LEAST_REQUESTS:
            problem = f"{wanted['trace']} of {len(trace)} times"
            raise BadInput("--trace", problem, f"one of {LEAST_REQUESTS} at least with --find-limit")

        def plan_trace(rate: float | None) -> tuple[list[float], float]:
            arrivals = scale_trace(trace, rate)
            return arrivals, arrivals[-1]

        return plan_trace

    def plan_pattern(rate: float | None) -> tuple[list[float], float]:
        per_s, seconds = rate or USUAL_RATE, wanted["seconds"]
        if wanted["find_limit"]:
            seconds = trial_seconds(per_s, seconds)
        return draw_arrivals(wanted["pattern"], per_s, seconds), seconds

    if not wanted["find_limit"] and not plan_pattern(wanted["rate"])[0]:
        problem = f"{wanted['seconds']:g} s, in which no request is due"
        raise BadInput("--duration", problem, "long enough for one at the --rate")
    return plan_pattern


def _sentence(one: LoadResult) -> str:
    p95 = one.at(SHARE)
    cut = "stopped by hand; " if one.is_cut else ""
    told = "too few answers for a p95" if p95 is None else f"p95 {p95:.1f} ms"
    wrong = f"{one.n_errors} of {one.n_sent} without a right answer" if one.errors else "every answer right"
    return f"{cut}{one.offered_per_s:.1f} requests/s offered: {told}, {wrong}"


def _autoscaler(results: list[LoadResult]) -> str:
    """What the autoscaler wanted, over time."""
    steps: list[tuple[float, int]] = []
    for one in results:
        for at, n in one.workers:
            if not steps or steps[-1][1] != n:
                steps.append((at, n))
    if not steps:
        return ""
    return "the autoscaler wanted " + ", ".join(f"{n} worker(s) at {at:.0f} s" for at, n in steps)
