"""`webinfer bench`: benchmarks. Each command starts what it measures and stops it again."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from rich.table import Table

from browser_runtime.contract.vocabulary import Browser
from webinfer.bench.overhead import Overhead, TensorTrip, measure_overhead, measure_tensors
from webinfer.bench.streaming import measure_streaming
from webinfer.commands.bench_acceleration import acceleration
from webinfer.commands.bench_encoders import encoders
from webinfer.commands.bench_generation import command as generation
from webinfer.commands.bench_kernels import kernels
from webinfer.commands.bench_noise import noise
from webinfer.commands.bench_peers import peers
from webinfer.commands.bench_quality import quality
from webinfer.commands.bench_scheduler import autoscaling, history, regression, report
from webinfer.commands.bench_sharing import sharing
from webinfer.commands.parameters import AS_JSON, BROWSER, ONLY_BROWSERS
from webinfer.producing import use_broker
from webinfer.stack.stack import Stack
from webinfer.tables import SafeConsole, output_console


@click.group("bench")
def command() -> None:
    """Measure the performance of this machine; compare ratios rather than times, machines differ."""


for each in (
    *(generation, quality, kernels, encoders, acceleration, peers, noise),
    *(history, regression, autoscaling, report, sharing),
):
    command.add_command(each)


@command.command("overhead")
@BROWSER
@click.option(
    "--rounds",
    default=200,
    show_default=True,
    type=click.IntRange(20, 100_000),
    help="Number of times each round trip is measured.",
)
@AS_JSON
def overhead(browser: str, rounds: int, as_json: bool) -> None:
    """Measure what the queue and the browser add to an inference.

    Compares the round trip of an empty task with that of an inference, and times tensors of several sizes on
    their way to the page and back.
    """
    chosen = Browser(browser)
    with SafeConsole(stderr=True).status("starting a private stack") as status, Stack([chosen]) as stack:
        use_broker(stack.broker_url)
        found = measure_overhead(chosen, rounds, status.update)
        trips = measure_tensors(chosen, status.update)
    if as_json:
        tensors = [asdict(trip) for trip in trips]
        click.echo(json.dumps({"browser": browser, **asdict(found), "tensors": tensors}, indent=2))
    else:
        _show_overhead(chosen, found, trips)


@command.command("streaming")
@BROWSER
@click.option(
    "--stories",
    "n",
    default=20,
    show_default=True,
    type=click.IntRange(4, 10_000),
    help="Number of texts to stream, of up to 200 tokens each.",
)
@AS_JSON
def streaming(browser: str, n: int, as_json: bool) -> None:
    """Measure how late a producer has the pieces of a text that a page generates.

    From the moment at which the page has a token to that at which the producer's loop has its text: of one
    stream, and of four at once from one lane.
    """
    chosen = Browser(browser)
    with SafeConsole(stderr=True).status("starting a private stack") as status, Stack([chosen]) as stack:
        use_broker(stack.broker_url)
        found = measure_streaming(chosen, n, status.update)
    if as_json:
        click.echo(json.dumps({"browser": browser, "delays": [asdict(delays) for delays in found]}, indent=2))
        return
    table = Table(
        "streams at once", "p50", "p95", "pieces", "a token takes", title=f"page to producer, {browser}"
    )
    for delays in found:
        late = delays.page_to_producer
        times = (f"{ms:.1f} ms" for ms in (late.p50_ms, late.p95_ms))
        table.add_row(str(delays.n_streams), *times, str(late.n), f"{delays.ms_per_token:.1f} ms")
    output_console().print(table)


@command.command("concurrent")
@BROWSER
@click.option(
    "--requests",
    "n",
    default=120,
    show_default=True,
    type=click.IntRange(30, 100_000),
    help="Number of requests, to the three models in turn.",
)
@AS_JSON
def concurrent(browser: str, n: int, as_json: bool) -> None:
    """Compare the pool with one browser driven by hand, on requests to three models at once."""
    from webinfer.bench.concurrent import measure_concurrent

    with SafeConsole(stderr=True).status("starting") as status:
        ways = measure_concurrent(Browser(browser), n, status.update)
    if as_json:
        click.echo(json.dumps({"browser": browser, "ways": [asdict(way) for way in ways]}, indent=2))
        return
    title = f"{n} requests to three models in turn, {browser}"
    table = Table("way", "requests/s", "to by hand", "p50 ms", "p95 ms", "memory MB", title=title)
    for way in ways:
        figures = (way.per_s, way.per_s / ways[0].per_s, way.p50_ms, way.p95_ms, way.memory_mb or 0.0)
        table.add_row(way.name, *(f"{figure:.1f}" for figure in figures))
    output_console().print(table)


@command.command("backends")
@click.option(
    "--model",
    "model_name",
    default="all-minilm-l6-v2",
    show_default=True,
    help="Name of a text embedding model.",
)
@ONLY_BROWSERS
@click.option(
    "--threads",
    default=2,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Threads of WebAssembly and of native onnxruntime.",
)
@AS_JSON
def backends(model_name: str, names: tuple[str, ...], threads: int, as_json: bool) -> None:
    """Compare a text model in every browser and backend with native onnxruntime."""
    from webinfer.bench.backends import measure_browsers, tabulate

    chosen = [Browser(name) for name in names] or list(Browser)
    with SafeConsole(stderr=True).status("starting") as status:
        native, cells = measure_browsers(model_name, chosen, threads, status.update)
    if not as_json:
        title = f"{model_name}, {threads} threads, p50 of a batch"
        output_console().print(tabulate(title, native, cells))
        return
    plain = {
        "model": model_name,
        "threads": threads,
        "native": {str(list(shape)): asdict(run) for shape, run in native.runs.items()},
        "cells": [asdict(cell) for cell in cells],
    }
    click.echo(json.dumps(plain, indent=2))


def _show_overhead(browser: Browser, found: Overhead, trips: list[TensorTrip]) -> None:
    console = output_console()
    table = Table("round trip", "p50 ms", "p95 ms", "least ms", title=f"one at a time, {browser}")
    for name, row in (("noop", found.noop), ("infer", found.infer), ("compute", found.compute)):
        table.add_row(name, *(f"{ms:.2f}" for ms in (row.p50_ms, row.p95_ms, row.min_ms)))
    console.print(table)
    console.print(f"(infer - compute) / noop: {found.ratio:.2f}")
    console.print(f"throughput: no-op {found.noop_per_s:.0f}/s, infer {found.infer_per_s:.0f}/s")
    console.print(f"(infer - compute) / noop by throughput: {found.throughput_ratio:.2f}")
    tensors = Table(
        "tensor", "echo ms", "claim check ms", "websocket ms", "ratio", title="producer -> page -> producer"
    )
    for trip in trips:
        parts = (part.p50_ms for part in (trip.whole, trip.claim_check, trip.websocket))
        tensors.add_row(trip.size, *(f"{ms:.1f}" for ms in parts), f"{trip.ratio:.2f}")
    console.print(tensors)
