"""Rows on their way to the history: a capped Redis stream, many rows an entry.

A row is (table, {column: value}) with plain values; its columns are those of scheduler/history/schema.sql and
its times are seconds since 1970. An entry holds its rows by table and column, and where it stands in all that
its source has ever emitted: so the reader knows what was lost on the way, and what came twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgpack

if TYPE_CHECKING:
    import redis

    from tasks.settings import TaskSettings

Row = tuple[str, dict[str, Any]]

STREAM = "telemetry"
"""The stream's key, behind the prefix."""
# About 200 KB: one entry is one message to Redis and one step of the reader.
MAX_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the stream."""

    rows: list[Row]
    source: str = ""
    """The process that emitted it; empty where nobody counts."""
    before: int = 0
    """Rows which that source had emitted before, those it had to drop included."""


def stream_key(prefix: str) -> str:
    """The stream's name in Redis."""
    return f"{prefix}{STREAM}"


def emit(
    client: redis.Redis,
    rows: Iterable[Row],
    settings: TaskSettings | None = None,
    *,
    source: str = "",
    before: int = 0,
) -> int:
    """Append `rows` to the stream; how many. The oldest entries go once it holds too many.

    `settings` are the app's where none are given. Raises redis.RedisError. It waits for Redis: not for an
    inference's way.
    """
    settings = settings or _app_settings()
    listed = [(table, {"at": time.time()} | values) for table, values in rows]
    for start in range(0, len(listed), MAX_ROWS):
        entry = encode(Entry(listed[start : start + MAX_ROWS], source, before + start))
        client.xadd(
            stream_key(settings.redis_prefix),
            entry,  # type: ignore[arg-type]  # the stubs take no dict of bytes
            maxlen=settings.telemetry_max_entries,
            approximate=True,
        )
    return len(listed)


def _app_settings() -> TaskSettings:
    from tasks.app import app

    return app.settings


def encode(entry: Entry) -> dict[bytes, bytes]:
    """The entry's fields."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for table, values in entry.rows:
        tables.setdefault(table, []).append(values)
    packed = {table: _columnar(rows) for table, rows in tables.items()}
    return {
        b"rows": msgpack.packb(packed),
        b"source": entry.source.encode(),
        b"before": str(entry.before).encode(),
    }


def decode(fields: Mapping[bytes, bytes]) -> Entry:
    """The inverse of `encode`. Raises ValueError for what is no entry."""
    try:
        tables = msgpack.unpackb(fields[b"rows"])
        rows = [
            (table, dict(zip(columns, values, strict=True)))
            for table, (columns, listed) in tables.items()
            for values in listed
        ]
        return Entry(rows, fields.get(b"source", b"").decode(), int(fields.get(b"before", 0)))
    except (KeyError, TypeError, AttributeError, ValueError, msgpack.UnpackException) as error:
        raise ValueError(f"not an entry of the telemetry stream: {error!r}") from error


def _columnar(rows: Sequence[dict[str, Any]]) -> list[Any]:
    """Column names once, then each row's values: a third of the size, and twice as quick to read."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return [columns, [[row.get(name) for name in columns] for row in rows]]
