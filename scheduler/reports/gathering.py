"""Gathers the facts of a report from the history's queries; heavy sums are made in SQL."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from scheduler.experiments.rows import MAX_TABLES, read_experiments
from scheduler.reports.facts import (
    AlertRow,
    BrowserRow,
    CapabilityChange,
    ConnectionRow,
    Matrix,
    ReasonRow,
    RecallRow,
    Recommendation,
    Report,
    RoutingRow,
    ScalingRow,
    SharingRow,
    Totals,
)
from scheduler.reports.impact import judge_impact
from scheduler.reports.trend_facts import ReportedChange
from scheduler.reports.trends import draw_course, draw_trends
from scheduler.routing.evidence import Evidence, read_evidence
from scheduler.routing.ranking import Policy, Ranked
from scheduler.routing.table import Subject, build_table

# Columns by name, as the history's queries give them.
Row = Mapping[str, Any]
Rows = Sequence[Row]


class Ask(Protocol):
    """A question to the history."""

    def __call__(self, name: str, **params: Any) -> Rows:
        """The rows of one named query."""


DAY_S = 86_400.0
# As many points as a phone has room for; widths that divide a day, so that buckets begin at full hours.
MAX_POINTS = 180
WIDTHS_S = (10, 60, 300, 900, 3600, 10_800, 21_600, 43_200, 86_400, 604_800)
# Part of the span after which a run counts half for the browser to choose: the latest runs count most.
HALF_OF_SPAN = 0.25
# A person reads, and a phone draws, no more; the rest is counted.
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
        "recalls": ask("report_recalls", **of_model, max_rows=MAX_ROWS),
        "impact": ask("report_impact", **of_model, max_rows=MAX_ROWS),
        "scaling": ask("report_scaling", **span, max_rows=MAX_ROWS),
        "experiments": ask("experiments", **of_model, max_rows=MAX_ROWS, max_documents=MAX_TABLES),
        "alerts": ask("report_alerts", **span, max_rows=MAX_ROWS),
    }
    return Report(
        made_at_s=now_s,
        since_s=since_s,
        until_s=now_s,
        model=model,
        bucket_s=width_s,
        totals=totals,
        recommendations=recommend(_ask_evidence(ask, since_s, now_s), model),
        trends=draw_trends(trends, changes),
        n_trends=trends[0]["n_charts"] if trends else 0,
        changes=changes,
        browsers=compare_browsers(rows["browsers"]),
        matrix=build_matrix(ask("report_capabilities", until_s=now_s)),
        capability_changes=_build(CapabilityChange, rows["capability_changes"]),
        connections=_build(ConnectionRow, ask("report_connections", **span)),
        sharing=_build(SharingRow, ask("report_sharing", **span)),
        recalls=_build(RecallRow, rows["recalls"]),
        health=draw_course(health, "score"),
        open_breakers=draw_course(health, "open_share"),
        shares=draw_course(shares, "n", missing=0),
        routing=_build(RoutingRow, rows["routing"]),
        reasons=_build(ReasonRow, rows["reasons"]),
        impact=[judge_impact(row) for row in rows["impact"]],
        scaling=_build(ScalingRow, rows["scaling"]),
        alerts=_build(AlertRow, rows["alerts"]),
        experiments=read_experiments(rows["experiments"]),
        cut=[name for name, found in rows.items() if len(found) == MAX_ROWS],
    )


def bucket_width(span_s: float) -> int:
    """The narrowest width in seconds that needs no more than MAX_POINTS for `span_s`."""
    return next((width for width in WIDTHS_S if span_s / width <= MAX_POINTS), WIDTHS_S[-1])


def _ask_evidence(ask: Ask, since_s: float, until_s: float) -> list[Evidence]:
    """All runs of the span, where routing forgets within minutes: a report is of the whole span."""
    since, until = (datetime.fromtimestamp(at_s, UTC).replace(tzinfo=None) for at_s in (since_s, until_s))
    half_s = (until_s - since_s) * HALF_OF_SPAN
    return read_evidence(
        ask("routing_evidence", now=until, since=since, fresh_s=half_s, old_s=half_s, with_flags=False)
    )


def recommend(evidence: list[Evidence], model: str | None = None) -> list[Recommendation]:
    """The best of the browsers that each model was measured on, by the estimates of the routing table."""
    table = build_table([each for each in evidence if model in (None, each.model)], Policy())
    found = [_recommendation(subject, ranking) for subject, ranking in table.items() if not subject.backend]
    return sorted(filter(None, found), key=lambda each: (-each.n_runs, each.model, each.precision))


def _recommendation(subject: Subject, ranking: Sequence[Ranked]) -> Recommendation | None:
    measured = sorted(
        (each for each in ranking if each.n_runs), key=lambda each: each.expected_ms or math.inf
    )
    if not measured or not measured[0].expected_ms:
        return None  # nothing but failures
    best, *others = measured
    assert best.expected_ms is not None
    after = next((each for each in others if each.expected_ms is not None), None)
    return Recommendation(
        model=subject.model,
        precision=subject.precision,
        browser=str(best.browser),
        backend=best.backend,
        expected_ms=best.expected_ms,
        chance=best.chance,
        n_runs=sum(each.n_runs for each in measured),
        next_browser=str(after.browser) if after else "",
        next_ratio=after.expected_ms / best.expected_ms if after and after.expected_ms else None,
    )


def read_changes(rows: Rows) -> list[ReportedChange]:
    """Changes with their series read from JSON."""
    return [ReportedChange(**{**row, "series": _read_series(row["series"])}) for row in rows]


def _read_series(text: str) -> Mapping[str, str | float | None]:
    series = json.loads(text)
    return series if isinstance(series, dict) else {"series": text}


def compare_browsers(rows: Rows) -> list[BrowserRow]:
    """Each row with its median over the least of its model."""
    best: dict[str, float] = {}
    for row in rows:
        if row["p50_ms"]:
            best[row["model"]] = min(row["p50_ms"], best.get(row["model"], row["p50_ms"]))
    ratios = [row["p50_ms"] / best[row["model"]] if row["p50_ms"] else None for row in rows]
    return _build(BrowserRow, ({**row, "to_best": ratio} for row, ratio in zip(rows, ratios, strict=True)))


def build_matrix(rows: Rows) -> Matrix:
    """Features by browsers."""
    browsers = sorted({row["browser"] or "" for row in rows})
    cells = {row["feature"] or "": dict.fromkeys(browsers, "") for row in rows}
    for row in rows:
        cells[row["feature"] or ""][row["browser"] or ""] = row["value"] or ""
    return Matrix(browsers, {row["browser"] or "": row["browser_build"] or "" for row in rows}, cells)


def _build(kind: type[T], rows: Iterable[Mapping[str, Any]]) -> list[T]:
    """Rows as facts; NULL becomes an empty text where the fact is a text."""
    texts = {field.name for field in fields(kind) if field.type == "str"}  # type: ignore[arg-type]
    return [
        kind(**{name: "" if value is None and name in texts else value for name, value in row.items()})
        for row in rows
    ]
