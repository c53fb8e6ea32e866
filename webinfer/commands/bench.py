"""`webinfer bench`: measure this machine. Each command brings up what it measures and takes it down again."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from browser_runtime.vocabulary import Browser
from webinfer.measuring.overhead import measure_overhead, measure_tensors
from webinfer.producing import use_broker
from webinfer.stack import Stack
from webinfer.tables import output_console

BROWSERS = click.Choice([str(browser) for browser in Browser])


@click.group("bench")
def command() -> None:
    """Measure this machine; compare the ratios, since machines differ."""


@command.command("overhead")
@click.option("--browser", default="chrome", show_default=True, type=BROWSERS)
@click.option("--rounds", default=200, show_default=True, type=click.IntRange(20, 100_000))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def overhead(browser: str, rounds: int, as_json: bool) -> None:
    """A no-op's round trip, an inference's and its compute, and tensors to the page and back."""
    chosen = Browser(browser)
    with Console(stderr=True).status("starting a private stack") as status, Stack([chosen]) as stack:
        use_broker(stack.broker_url)
        found = measure_overhead(chosen, rounds, status.update)
        trips = measure_tensors(chosen, status.update)
    told: dict[str, Any] = {"browser": browser, **asdict(found), "tensors": [asdict(trip) for trip in trips]}
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        _show(told)


def _show(told: dict[str, Any]) -> None:
    console = output_console()
    table = Table("round trip", "p50 ms", "p95 ms", "least ms", title=f"one at a time, {told['browser']}")
    for name in ("noop", "infer", "compute"):
        row = told[name]
        table.add_row(name, *(f"{row[key]:.2f}" for key in ("p50_ms", "p95_ms", "min_ms")))
    console.print(table)
    console.print(f"(infer - compute) / noop: {told['ratio']:.2f}")
    console.print(f"throughput: no-op {told['noop_per_s']:.0f}/s, infer {told['infer_per_s']:.0f}/s")
    console.print(f"(infer - compute) / noop by throughput: {told['throughput_ratio']:.2f}")
    tensors = Table(
        "tensor", "echo ms", "claim check ms", "websocket ms", "ratio", title="producer -> page -> producer"
    )
    for trip in told["tensors"]:
        parts = (trip[part]["p50_ms"] for part in ("whole", "claim_check", "websocket"))
        tensors.add_row(trip["size"], *(f"{ms:.1f}" for ms in parts), f"{trip['ratio']:.2f}")
    console.print(tensors)
