"""Lines over common times from rows of buckets, with the changes that belong to them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from scheduler.reports.trend_facts import Course, ReportedChange, Trend, TrendLine

Rows = Sequence[Mapping[str, Any]]

PLACE = ("model", "backend", "precision")


def draw_trends(rows: Rows, changes: Sequence[ReportedChange]) -> list[Trend]:
    """A trend for each run of rows with the same place; those that changed come first.

    The rows come sorted by place, the busiest first.
    """
    found = []
    for key, group in groupby(rows, key=lambda row: [row[name] or "" for name in PLACE]):
        points = list(group)
        times = sorted({point["at_s"] for point in points})
        browsers = sorted({point["browser"] or "" for point in points})
        lines = [_draw_line(browser, points, times) for browser in browsers]
        place = dict(zip(PLACE, key, strict=True))
        mine = [change for change in changes if _belongs(change, place)]
        found.append(Trend(**place, n_runs=points[0]["n_runs"], at_s=times, lines=lines, changes=mine))
    return sorted(found, key=lambda trend: not trend.changes)


def _draw_line(browser: str, points: Rows, times: Sequence[int]) -> TrendLine:
    by_time = {point["at_s"]: point for point in points if (point["browser"] or "") == browser}
    at = [by_time.get(time, {}) for time in times]
    measured = {
        name: [point.get(name) for point in at] for name in ("p50_ms", "p95_ms", "memory_mb", "items_per_s")
    }
    counted = {name: [point.get(name, 0) for point in at] for name in ("n", "n_failed")}
    return TrendLine(browser, **measured, **counted)  # type: ignore[arg-type]


def _belongs(change: ReportedChange, place: Mapping[str, str]) -> bool:
    """True where the change is of this trend: its series may say less, but nothing else."""
    return all((change.series.get(name) or value) == value for name, value in place.items())


def draw_course(rows: Rows, value: str, missing: float | None = None) -> Course:
    """A line a browser of one column."""
    times = sorted({row["at_s"] for row in rows})
    by_name: dict[str, dict[int, float]] = {}
    for row in rows:
        by_name.setdefault(row["browser"] or "", {})[row["at_s"]] = row[value]
    return Course(
        times, {name: [line.get(time, missing) for time in times] for name, line in sorted(by_name.items())}
    )
