"""What a report consists of: sections of text cells, and how values are written in them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from scheduler.experiments.tables import ResultTable
from scheduler.reports.facts import Report
from scheduler.reports.gathering import MAX_ROWS
from scheduler.reports.trend_facts import ReportedChange


@dataclass(frozen=True, slots=True)
class Result:
    """One experiment in full."""

    title: str
    verdict: str
    table: ResultTable


@dataclass(frozen=True, slots=True)
class Section:
    """A titled table, and the chart that stands above it."""

    key: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    empty: str
    """The sentence in place of rows."""
    note: str = ""
    results: Sequence[Result] = ()
    """What stands below the table."""


def moment(at_s: float) -> str:
    """To the minute, UTC."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M")


def number(value: float | None, digits: int = 4) -> str:
    """Counts whole, measurements to `digits` figures, nothing as a dash."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}g}"


def megabytes(size_bytes: int) -> str:
    """Bytes in millions, to four figures."""
    return number(size_bytes / 1e6)


def percent(change: ReportedChange) -> str:
    """The change relative to before, with its sign."""
    return "-" if change.ratio is None else f"{change.ratio - 1:+.1%}"


def cut_note(report: Report, name: str) -> str:
    """The note of a section that shows only the first of its rows; empty for a whole one."""
    return f"The first {MAX_ROWS} of more." if name in report.cut else ""
