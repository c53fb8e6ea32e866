"""`webinfer bench` history, regression, autoscaling and report: the scheduler's work, without a browser."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from webinfer.commands.parameters import AS_JSON, DAYS, NEW_FILE, PICTURE, Number
from webinfer.tables import SafeConsole, output_console


@click.command("history")
@AS_JSON
def history(as_json: bool) -> None:
    """Measure the history: writing rows, a query over a million runs, and the router that uses it."""
    from webinfer.bench.history import measure_history

    with SafeConsole(stderr=True).status("starting") as status:
        found = measure_history(status.update)
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2))
        return
    console = output_console()
    console.print(f"into Redis: {found.emit_rows_per_s:.0f} rows/s")
    console.print(f"from Redis into the file: {found.drain_rows_per_s:.0f} rows/s, {found.n_rows} rows")
    console.print(f"  by its processor time alone: {found.drain_rows_per_cpu_s:.0f} rows/s")
    description = f"p50 {found.query.p50_ms:.0f} ms, p95 {found.query.p95_ms:.0f} ms"
    console.print(f"a windowed question over {found.n_asked} runs: {description}")
    console.print(
        f"one route: {found.router_prior_us:.1f} us by the prior, {found.router_table_us:.1f} us by a table"
    )


@click.command("regression")
@click.option(
    "--months",
    default=10_000,
    show_default=True,
    type=click.IntRange(100, 10_000_000),
    help="Number of months without a change to simulate, for the false reports.",
)
@click.option(
    "--steps",
    default=1000,
    show_default=True,
    type=click.IntRange(20, 1_000_000),
    help="Number of changes to simulate of each size.",
)
@click.option("--seed", default=1, show_default=True, help="Seed of the random numbers.")
@click.option(
    "--recorded",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of `webinfer bench noise --json`: test on its noise alone, samples of 20 seconds.",
)
@PICTURE
@AS_JSON
def regression(
    months: int, steps: int, seed: int, recorded: Path | None, picture: Path | None, as_json: bool
) -> None:
    """Measure how many real changes regression detection finds, and how many false ones it reports.

    Runs on generated series in which the changes are known; starts no browser.
    """
    from webinfer.bench.noises import CV, NOISES, read_recording, replayed, steady
    from webinfer.bench.regression import measure_quality
    from webinfer.bench.regression_picture import draw_curves, tabulate

    noises = NOISES
    if recorded:
        known = read_recording(recorded, "--recorded")
        noises = {
            f"that of the recording, {CV:.0%}": steady(known),
            f"replays, {CV:.0%}": replayed(known, CV),
            f"replays, {known.std():.0%}": replayed(known),
        }
    with SafeConsole(stderr=True).status("starting") as status:
        quality = measure_quality(months, steps, seed, status.update, noises)
    if picture:
        picture.write_text(draw_curves(quality))
    if as_json:
        click.echo(json.dumps(asdict(quality), indent=2))
        return
    for table in tabulate(quality):
        output_console().print(table)
    speed = quality.speed
    click.echo(f"{speed.n_series} series of {speed.n_samples} samples analysed in {speed.seconds:.1f} s")


@click.command("autoscaling")
@click.option(
    "--pattern", "names", multiple=True, help="Simulate only this arrival pattern; repeatable. Default: all."
)
@click.option(
    "--recorded",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with recorded arrival times, in seconds, one per line.",
)
@click.option("--history", "queue", metavar="QUEUE", help="Take the arrivals of this queue from the history.")
@click.option("--days", default=30.0, show_default=True, type=DAYS, help="With --history: days to look back.")
@click.option(
    "--service-ms",
    type=Number(1, 60_000, unit="milliseconds"),
    help="Milliseconds one request takes. Default: as recorded, else 500.",
)
@click.option(
    "--start-s",
    type=Number(0.1, 600, unit="seconds"),
    help="Seconds a worker takes to start. Default: as recorded, else 12.",
)
@click.option(
    "--picture", type=NEW_FILE, help="Also draw the number of workers over time into this SVG file."
)
@AS_JSON
def autoscaling(picture: Path | None, as_json: bool, service_ms: float | None, **wanted: Any) -> None:
    """Simulate the autoscaler against a threshold rule and KEDA's formula; starts no browser."""
    from webinfer.bench.autoscaling.report import (
        ComparisonRequest,
        comparison_rows,
        print_comparisons,
        run_comparisons,
        write_picture,
    )

    comparisons = run_comparisons(
        ComparisonRequest(service_s=service_ms / 1000 if service_ms else None, **wanted)
    )
    if picture:
        write_picture(comparisons, picture)
    if as_json:
        click.echo(json.dumps(comparison_rows(comparisons), indent=2))
    else:
        print_comparisons(output_console(), comparisons)


@click.command("report")
@click.option(
    "--runs",
    "n",
    default=1_000_000,
    show_default=True,
    type=click.IntRange(1000, 100_000_000),
    help="Number of runs in the history.",
)
@AS_JSON
def report(n: int, as_json: bool) -> None:
    """Measure how long a report over many runs takes."""
    from webinfer.bench.reports import measure_report

    with SafeConsole(stderr=True).status("starting") as status:
        found = measure_report(n, status.update)
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2))
        return
    table = Table("step", "wall s", "CPU s", title=f"a report over {found.n_runs} runs")
    for name, span in (("gather", found.gather), ("write", found.write)):
        table.add_row(name, f"{span.wall_s:.2f}", f"{span.cpu_s:.2f}")
    output_console().print(table, f"page: {found.html_bytes / 1000:.0f} KB", sep="\n")
