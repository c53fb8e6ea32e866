"""The facts of a report, from the history's queries; what is heavy is summed up in SQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from scheduler.reports.facts import (
    AlertRow,
    BrowserRow,
    CapabilityChange,
    ConnectionRow,
    Matrix,
    ReasonRow,
    Report,
    ReportedChange,
    RoutingRow,
    ScalingRow,
    Totals,
)
from scheduler.reports.impact import judge_impact
from scheduler.reports.trends import draw_course, draw_trends

Rows = list[dict[str, Any]]
Ask = Callable[..., Rows]
"""`ask(name, **params)`: the rows of one named query."""

DAY_S = 86_400.0
# As many points as a phone has room for; widths that divide a day, so that buckets begin at full hours.
MAX_POINTS = 180
WIDTHS_S = (10, 60, 300, 900, 3600, 10_800, 21_600, 43_200, 86_400, 604_800)
# What a person reads and a phone draws; what is left out is counted.
MAX_CHARTS = 24
MAX_ROWS = 100

T = TypeVar("T")


def gather(ask: Ask, now_s: float, days: float, model: str | None = None) -> Report:
    """The report of the `days` before `now_s`, of one `model` or of all."""
    since_s = now_s - days * DAY_S
    span = {"since_s": since_s, "until_s": now_s}
    of_model = span | {"model": model}
    totals = Totals(**ask("report_totals", **of_model)[0])
    width_s = bucket_width(now_s - max(totals.first_s or since_s, since_s))
    trends = ask("report_trends", **of_model, bucket_s=width_s, max_charts=MAX_CHARTS)
    changes = read_changes(ask("report_changes", **of_model, max_rows=MAX_ROWS))
    health = ask("report_health", **span, bucket_s=width_s)
    shares = ask("report_shares", **of_model, bucket_s=width_s)
    rows = {
        "browsers": ask("report_browsers", **of_model, max_rows=MAX_ROWS),
        "capability_changes": ask("report_capability_changes", **span, max_rows=MAX_ROWS),
        "routing": ask("report_routing", until_s=now_s, model=model, max_rows=MAX_ROWS),
        "reasons": ask("report_reasons", **of_model, max_rows=MAX_ROWS),
        "impact": ask("report_impact", **of_model, max_rows=MAX_ROWS),
        "scaling": ask("report_scaling", **span, max_rows=MAX_ROWS),
        "alerts": ask("report_alerts", **span, max_rows=MAX_ROWS),
    }
    return Report(
        made_at_s=now_s,
        since_s=since_s,
        until_s=now_s,
        model=model,
        bucket_s=width_s,
        totals=totals,
        trends=draw_trends(trends, changes),
        n_trends=trends[0]["n_charts"] if trends else 0,
        changes=changes,
        browsers=compare_browsers(rows["browsers"]),
        matrix=build_matrix(ask("report_capabilities", until_s=now_s)),
        capability_changes=_build(CapabilityChange, rows["capability_changes"]),
        connections=_build(ConnectionRow, ask("report_connections", **span)),
        health=draw_course(health, "score"),
        open_breakers=draw_course(health, "open_share"),
        shares=draw_course(shares, "n", missing=0),
        routing=_build(RoutingRow, rows["routing"]),
        reasons=_build(ReasonRow, rows["reasons"]),
        impact=[judge_impact(row) for row in rows["impact"]],
        scaling=_build(ScalingRow, rows["scaling"]),
        alerts=_build(AlertRow, rows["alerts"]),
        cut=[name for name, found in rows.items() if len(found) == MAX_ROWS],
    )


def bucket_width(span_s: float) -> int:
    """The narrowest width in seconds that needs no more than MAX_POINTS for `span_s`."""
    return next((width for width in WIDTHS_S if span_s / width <= MAX_POINTS), WIDTHS_S[-1])


def read_changes(rows: Rows) -> list[ReportedChange]:
    """Changes with their series read from JSON."""
    return [ReportedChange(**row | {"series": _read_series(row["series"])}) for row in rows]


def _read_series(text: str) -> dict[str, Any]:
    series = json.loads(text)
    return series if isinstance(series, dict) else {"series": text}


def compare_browsers(rows: Rows) -> list[BrowserRow]:
    """Each row with its median over the least of its model."""
    best: dict[str, float] = {}
    for row in rows:
        if row["p50_ms"]:
            best[row["model"]] = min(row["p50_ms"], best.get(row["model"], row["p50_ms"]))
    ratios = [row["p50_ms"] / best[row["model"]] if row["p50_ms"] else None for row in rows]
    return _build(BrowserRow, (row | {"to_best": ratio} for row, ratio in zip(rows, ratios, strict=True)))


def build_matrix(rows: Rows) -> Matrix:
    """Features by browsers."""
    browsers = sorted({row["browser"] or "" for row in rows})
    cells = {row["feature"] or "": dict.fromkeys(browsers, "") for row in rows}
    for row in rows:
        cells[row["feature"] or ""][row["browser"] or ""] = row["value"] or ""
    return Matrix(browsers, {row["browser"] or "": row["browser_build"] or "" for row in rows}, cells)


def _build(kind: type[T], rows: Iterable[Mapping[str, Any]]) -> list[T]:
    """Rows as facts; where a fact is text, nothing is an empty one."""
    texts = {field.name for field in fields(kind) if field.type == "str"}  # type: ignore[arg-type]
    return [
        kind(**{name: "" if value is None and name in texts else value for name, value in row.items()})
        for row in rows
    ]
