"""What the history tells of speed and of its changes, asked of the analytics worker and kept a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

# Spans that the page offers, in hours, and the width of their buckets in seconds: about a hundred points.
SPANS = {1: 60, 24: 900, 168: 7200, 720: 28800}
DEFAULT_SPAN_H = 24
# More lines cannot be distinguished; the busiest are drawn.
MAX_LINES = 8
# The history is drained every few seconds; asking more often tells nothing new.
TTL_S = 10.0
# A page waits so long for its first answer; after that it says that there is none yet.
PATIENCE_S = 3.0

Ask = Callable[..., Awaitable[list[dict[str, Any]]]]


class Performance:
    """Answers for pages, JSON and gauges. `ask(name, **params)` runs one named query; it may take seconds."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._kept: dict[int, dict[str, Any]] = {}
        self._begun_at: dict[int, float] = {}
        self._asking: dict[int, asyncio.Task[None]] = {}

    def peek(self, span_h: int) -> dict[str, Any]:
        """The latest answer, at once; one that is older than TTL_S is asked for anew in the background."""
        due = time.monotonic() - self._begun_at.get(span_h, -TTL_S) >= TTL_S
        if due and span_h not in self._asking:
            self._begun_at[span_h] = time.monotonic()
            self._asking[span_h] = asyncio.ensure_future(self._refresh(span_h))
        return self._kept.get(span_h, nothing(span_h) | {"problem": "the history has not answered yet"})

    async def read(self, span_h: int) -> dict[str, Any]:
        """Lines and changes of the last `span_h` hours: new ones, or after PATIENCE_S the latest there are.

        Where the history cannot be had, `problem` says why and the latest answer, if any, is given again.
        """
        self.peek(span_h)
        if span_h in self._asking:
            await asyncio.wait({self._asking[span_h]}, timeout=PATIENCE_S)
        return self.peek(span_h)

    async def _refresh(self, span_h: int) -> None:
        try:
            self._kept[span_h] = await self._fetch(span_h)
        except Exception as error:  # a page that explains is worth more than a page of traceback
            why = f"the history cannot be read: {error or type(error).__name__}"
            self._kept[span_h] = self._kept.get(span_h, nothing(span_h)) | {"problem": why}
        finally:
            del self._asking[span_h]

    async def _fetch(self, span_h: int) -> dict[str, Any]:
        now_s, bucket_s = time.time(), SPANS[span_h]
        since_s = now_s - span_h * 3600
        rows = await self._ask("monitor_runs", since_s=since_s, bucket_s=bucket_s, max_lines=MAX_LINES)
        changes = await self._ask("monitor_changes", since_s=since_s)
        return nothing(span_h) | {"as_of_s": now_s, "changes": changes} | draw_lines(rows)


def nothing(span_h: int) -> dict[str, Any]:
    """The answer before there is one."""
    empty: dict[str, Any] = {"at_s": [], "lines": [], "changes": [], "problem": None}
    return {"hours": span_h, "bucket_s": SPANS[span_h], "as_of_s": None} | empty


MEASURES = ("n", "n_failed", "p50_ms", "p95_ms", "queue_p95_ms", "memory_mb")


def draw_lines(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """`at_s`, and for each (model, browser, backend) a line a measure, None where nothing ran."""
    times = sorted({row["at_s"] for row in rows})
    place = {at_s: index for index, at_s in enumerate(times)}
    lines: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in rows:
        key = (row["model"], row["browser"], row["backend"])
        line = lines.setdefault(key, _empty_line(key, len(times)))
        for measure in MEASURES:
            line[measure][place[row["at_s"]]] = row[measure]
    return {"at_s": times, "lines": [lines[key] for key in sorted(lines)]}


def _empty_line(key: tuple[str, str, str], n: int) -> dict[str, Any]:
    blank: dict[str, Any] = {measure: [None] * n for measure in MEASURES}
    return dict(zip(("model", "browser", "backend"), key, strict=True)) | blank


def latest_of(line: dict[str, Any], measure: str) -> float | None:
    """The newest value of a line; None where there is none."""
    found = next((value for value in reversed(line[measure]) if value is not None), None)
    return None if found is None else float(found)
