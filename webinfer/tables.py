"""Tables that more than one command prints."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from browser_runtime.messages import Adapter
from webinfer.words import adapter_kind


def reply_table(rows: list[tuple[str, str, dict[str, Any]]], title: str | None = None) -> Table:
    """A table of replies: what went in, what came out, where it ran, how long each step took."""
    table = Table("input", "answer", "browser", "backend", "adapter", title=title)
    for step in ("queue", "load", "compute", "total"):
        table.add_column(f"{step} ms", justify="right")
    for told, answer, reply in rows:
        times = reply["timings"]
        load_ms = times["load_ms"] + times["compile_ms"] + times["warmup_ms"]
        adapter = Adapter(**reply["adapter"])
        table.add_row(
            told,
            answer,
            reply["browser_build"],
            reply["backend"],
            f"{adapter.name} ({adapter_kind(adapter)})".strip(),
            *(
                f"{ms:.1f}"
                for ms in (times["queue_ms"], load_ms, reply["inference_time_ms"], times["total_ms"])
            ),
        )
    return table
