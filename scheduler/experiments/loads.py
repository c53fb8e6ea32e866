"""Latencies at each offered rate. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scheduler.experiments.load_picture import draw_load
from scheduler.experiments.tables import WRONG, Cell, Column, Document, ResultTable, texts

# A curve needs more than two rates.
LEAST_DRAWN = 3


def tabulate_load(document: Document) -> ResultTable:
    """A row a rate, milliseconds from the intended time of sending."""
    runs = document["runs"]
    names = list(runs[0]["percentiles_ms"]) if runs else []
    columns = map(Column, ("offered/s", "answered/s", *names, "most", "sender late"))
    picture = ""
    if len(runs) >= LEAST_DRAWN:
        picture = draw_load(runs, title_of(document), document.get("limit_ms"))
    return ResultTable(
        [*columns, Column("errors", is_number=False)],
        [_row(run, names) for run in runs],
        legend="Milliseconds from the intended time of sending.",
        picture=picture,
    )


def title_of(document: Document) -> str:
    """The title of a picture."""
    return f"{', '.join(document['models'])}, {document['browser']}, {document['pattern']} arrivals"


def _row(run: Mapping[str, Any], names: list[str]) -> list[Cell]:
    times = [_ms(run["percentiles_ms"].get(name)) for name in names]
    errors = ", ".join(f"{n} {kind}" for kind, n in sorted(run["errors"].items(), key=lambda one: -one[1]))
    if run["is_overloaded"]:
        errors = f"overloaded; {errors}".rstrip("; ")
    if run.get("is_cut"):
        errors = f"stopped by hand; {errors}".rstrip("; ")
    shown = texts(*times, _ms(run.get("most_ms")), _ms(run["worst_lag_ms"]))
    rates = texts(f"{run['offered_per_s']:.1f}", f"{run['answered_per_s']:.1f}")
    return [*rates, *shown, Cell(errors, mark=WRONG if errors else "")]


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
