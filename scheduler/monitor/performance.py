"""Latencies and their changes, asked of the analytics worker and kept a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from scheduler.experiments.rows import MAX_TABLES, Experiment, read_experiments

# Spans that the page offers, in hours, and the width of their buckets in seconds: about a hundred points.
SPANS = {1: 60, 24: 900, 168: 7200, 720: 28800}
DEFAULT_SPAN_H = 24
HOUR_S = 3600.0
# More lines cannot be distinguished; the busiest are drawn.
MAX_LINES = 8
EXPERIMENTS = {"model": None, "max_rows": 100, "max_documents": MAX_TABLES}
# The history is drained every few seconds; asking more often finds nothing new.
TTL_S = 10.0
# A page waits so long for its first answer; after that it says that there is none yet.
PATIENCE_S = 3.0

Rows = Sequence[Mapping[str, Any]]
Values = list[float | None]


class HistoryQuery(Protocol):
    """A question to the history."""

    async def __call__(self, name: str, **params: float | None) -> Rows:
        """Run one named query; it may take seconds. Raises where nobody answers."""


@dataclass(frozen=True, slots=True)
class ModelLine:
    """One model on one browser and backend; a value a bucket, None where nothing ran."""

    model: str
    browser: str
    backend: str
    n: Values
    n_failed: Values
    p50_ms: Values
    p95_ms: Values
    queue_p95_ms: Values
    memory_mb: Values

    @property
    def n_runs(self) -> int:
        """Runs in all buckets."""
        return int(sum(value or 0 for value in self.n))

    @property
    def n_failures(self) -> int:
        """Failed runs in all buckets."""
        return int(sum(value or 0 for value in self.n_failed))


@dataclass(frozen=True, slots=True)
class Change:
    """A regression or an improvement, as `monitor_changes.sql` gives it."""

    series: str
    """JSON of the model, browser, backend and so on."""
    metric: str
    changed_at_s: float
    before: float
    after: float
    effect: float | None
    p_value: float | None
    severity: str | None
    direction: str | None
    smallest_visible: float | None


@dataclass(frozen=True, slots=True)
class Measurements:
    """Lines and changes of a span. Times are seconds since 1970, UTC."""

    hours: int
    bucket_s: int
    as_of_s: float | None = None
    """Time of the history's answer; None before the first."""
    last_run_s: float | None = None
    """Start of the latest run of all, whatever the span."""
    at_s: list[float] = field(default_factory=list)
    lines: list[ModelLine] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    experiments: list[Experiment] = field(default_factory=list)
    problem: str | None = None
    """The reason for there being no newer answer."""


class Performance:
    """Answers for pages, JSON and gauges."""

    def __init__(self, ask: HistoryQuery) -> None:
        self._ask = ask
        self._kept: dict[int, Measurements] = {}
        self._begun_at: dict[int, float] = {}
        self._asking: dict[int, asyncio.Task[None]] = {}

    def peek(self, span_h: int) -> Measurements:
        """The latest answer, at once; one that is older than TTL_S is renewed in the background."""
        due = time.monotonic() - self._begun_at.get(span_h, -TTL_S) >= TTL_S
        if due and span_h not in self._asking:
            self._begun_at[span_h] = time.monotonic()
            self._asking[span_h] = asyncio.ensure_future(self._refresh(span_h))
        return self._kept.get(span_h, replace(nothing(span_h), problem="the history has not answered yet"))

    async def read(self, span_h: int) -> Measurements:
        """Lines and changes of the last `span_h` hours: new ones, or after PATIENCE_S the latest there are.

        Where the history cannot be had, `problem` says why and the latest answer, if any, is given again.
        """
        self.peek(span_h)
        if span_h in self._asking:
            await asyncio.wait({self._asking[span_h]}, timeout=PATIENCE_S)
        return self.peek(span_h)

    async def opening_span(self) -> int:
        """The span that the page opens at, in hours; see `choose_span`."""
        try:
            (row,) = await asyncio.wait_for(self._ask("monitor_span"), PATIENCE_S)
        except Exception:  # `read` says why the history cannot be read
            return DEFAULT_SPAN_H
        return choose_span(row["first_s"], row["last_s"], time.time())

    async def _refresh(self, span_h: int) -> None:
        try:
            self._kept[span_h] = await self._fetch(span_h)
        except Exception as error:  # a page that explains is worth more than a page of traceback
            why = f"the history cannot be read: {error or type(error).__name__}"
            self._kept[span_h] = replace(self._kept.get(span_h, nothing(span_h)), problem=why)
        finally:
            del self._asking[span_h]

    async def _fetch(self, span_h: int) -> Measurements:
        now_s, bucket_s = time.time(), SPANS[span_h]
        since_s = now_s - span_h * HOUR_S
        (span,) = await self._ask("monitor_span")
        rows = await self._ask("monitor_runs", since_s=since_s, bucket_s=bucket_s, max_lines=MAX_LINES)
        changes = await self._ask("monitor_changes", since_s=since_s)
        experiments = await self._ask("experiments", **EXPERIMENTS, since_s=since_s, until_s=now_s)
        at_s, lines = draw_lines(rows)
        return Measurements(
            span_h,
            bucket_s,
            now_s,
            span["last_s"],
            at_s,
            lines,
            [Change(**row) for row in changes],
            read_experiments(experiments),
        )


def nothing(span_h: int) -> Measurements:
    """The answer before there is one."""
    return Measurements(span_h, SPANS[span_h])


def choose_span(first_s: float | None, last_s: float | None, now_s: float) -> int:
    """The narrowest of SPANS that holds all runs, if a day does; else the narrowest, from a day on, with any.

    Without a run, DEFAULT_SPAN_H; where even the latest is older than every span, the widest.
    """
    if first_s is None or last_s is None:
        return DEFAULT_SPAN_H
    first_h, last_h = (now_s - first_s) / HOUR_S, (now_s - last_s) / HOUR_S
    wanted_h = first_h if first_h <= DEFAULT_SPAN_H else max(last_h, DEFAULT_SPAN_H)
    return next((span_h for span_h in SPANS if span_h >= wanted_h), max(SPANS))


MEASURES = ("n", "n_failed", "p50_ms", "p95_ms", "queue_p95_ms", "memory_mb")


def draw_lines(rows: Rows) -> tuple[list[float], list[ModelLine]]:
    """The times of all buckets, and a line for each model, browser and backend."""
    times = sorted({row["at_s"] for row in rows})
    place = {at_s: index for index, at_s in enumerate(times)}
    lines: dict[tuple[str, str, str], ModelLine] = {}
    for row in rows:
        key = (row["model"], row["browser"], row["backend"])
        if key not in lines:
            blank: list[Values] = [[None] * len(times) for _ in MEASURES]
            lines[key] = ModelLine(*key, *blank)
        line = lines[key]
        for measure in MEASURES:
            getattr(line, measure)[place[row["at_s"]]] = row[measure]
    return times, [lines[key] for key in sorted(lines)]


def latest_of(values: Values) -> float | None:
    """The newest value; None where there is none."""
    return next((float(value) for value in reversed(values) if value is not None), None)
