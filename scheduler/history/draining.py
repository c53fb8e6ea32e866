"""Moves rows from the Redis stream into the file: none twice, and none lost that is in the stream.

The stream's position and each source's count are written in the same transaction as the rows, so after a
crash the next drain continues behind the position. Sources number their rows, which shows entries that were
added twice and rows that were dropped.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, TypedDict

import structlog

from scheduler.history.history import History
from tasks.keys import RedisKeys
from tasks.telemetry import RowBatch, StreamEntry, decode

if TYPE_CHECKING:
    import redis

log = structlog.get_logger(__name__)

START = "0-0"
# Entries of one transaction: about 50,000 rows of busy workers.
BATCH_ENTRIES = 64

Fields = dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Drained:
    """The result of a drain."""

    n_rows: int = 0
    n_entries: int = 0
    n_dropped: int = 0
    """Rows that sources had sent, but that did not arrive."""
    n_broken: int = 0
    """Entries that could not be read; they are logged."""


@dataclass(frozen=True, slots=True)
class SourceCount:
    """Counts of one process that sends rows."""

    n_rows: int
    n_dropped: int


class Drain:
    """Moves the stream of one Redis into one history."""

    def __init__(self, client: redis.Redis, prefix: str, history: History) -> None:
        self._client: Any = client  # its stubs do not know bytes as stream ids
        self._key, self._history = RedisKeys(prefix).telemetry, history

    def run(self, budget_s: float) -> Drained:
        """Move the entries of the stream, for about `budget_s`.

        Raises HistoryUnavailable or redis.RedisError; entries not moved stay in the stream.
        """
        end = time.monotonic() + budget_s
        total = Drained()
        last_id = self._start()
        while entries := self._client.xrange(self._key, f"({last_id}", "+", BATCH_ENTRIES):
            done = self._move(entries)
            last_id = entries[-1][0].decode()
            self._client.xtrim(self._key, minid=_after(last_id), approximate=False)
            total = _sum(total, done)
            if time.monotonic() > end:
                break
        return total

    def _start(self) -> str:
        """The position to continue behind; the start if this is another stream than before."""
        found = self._history.read("SELECT last_id FROM drained WHERE stream = $1", [self._key])
        if not found or not self._client.exists(self._key):
            return str(found[0]["last_id"]) if found else START
        newest = self._client.xinfo_stream(self._key)["last-generated-id"].decode()
        last_id = str(found[0]["last_id"])
        return last_id if _order(newest) >= _order(last_id) else START

    def _move(self, entries: list[tuple[bytes, Fields]]) -> Drained:
        """Store entries in one transaction, or one by one if a row is refused: only its entry is lost."""
        try:
            return self._move_together(entries)
        except ValueError as error:
            if len(entries) > 1:
                return reduce(_sum, (self._move([entry]) for entry in entries))
            log.error("stream entry skipped: not storable", id=entries[0][0].decode(), reason=str(error))
            with self._history.transaction():
                self._keep_position(entries[0][0].decode())
            return Drained(0, 1, 0, 1)

    def _move_together(self, entries: list[tuple[bytes, Fields]]) -> Drained:
        """Store rows, each source's count, and the position in one transaction."""
        read = [self._decode(key, fields) for key, fields in entries]
        whole = [entry for entry in read if entry is not None]
        is_new = not self._history.read("SELECT 1 FROM drained LIMIT 1")
        batches, counts, dropped = count_in(whole, self._counts(), adopt=is_new)
        self._log_unknown(batches)
        with self._history.transaction():
            n_rows = self._history.append_within(batches)
            self._keep_counts(counts)
            self._keep_position(entries[-1][0].decode())
        return Drained(n_rows, len(entries), dropped, len(entries) - len(whole))

    def _decode(self, key: bytes, fields: Fields) -> StreamEntry | None:
        try:
            return decode(fields)
        except ValueError as error:
            log.error("stream entry skipped: unreadable", id=key.decode(), reason=str(error))
            return None

    def _log_unknown(self, batches: list[RowBatch]) -> None:
        """Log the tables and columns that this version does not know, and leaves out."""
        unknown = Counter(name for batch in batches for name in self._history.unknown(batch))
        for name, n in unknown.items():
            log.error("unknown part of rows left out", name=name, batches=n)

    def _counts(self) -> dict[str, SourceCount]:
        rows = self._history.read("SELECT source, n_rows, n_dropped FROM sources")
        return {row["source"]: SourceCount(row["n_rows"], row["n_dropped"]) for row in rows}

    def _keep_counts(self, counts: dict[str, SourceCount]) -> None:
        for source, count in counts.items():
            self._history.read(
                "INSERT OR REPLACE INTO sources VALUES ($1, $2, $3, now()::TIMESTAMP)",
                [source, count.n_rows, count.n_dropped],
            )

    def _keep_position(self, last_id: str) -> None:
        self._history.read("INSERT OR REPLACE INTO drained VALUES ($1, $2)", [self._key, last_id])


def count_in(
    entries: Iterable[StreamEntry], known: dict[str, SourceCount], *, adopt: bool
) -> tuple[list[RowBatch], dict[str, SourceCount], int]:
    """(batches to store, new counts of the sources, number of missing rows). Pure.

    With `adopt`, a source seen for the first time counts from where it is, without missing rows before.
    """
    batches: list[RowBatch] = []
    counts: dict[str, SourceCount] = {}
    n_missing = 0
    for entry in entries:
        if not entry.source:
            batches += entry.batches
            continue
        first = SourceCount(entry.before if adopt else 0, 0)
        count = counts.get(entry.source) or known.get(entry.source) or first
        if entry.before < count.n_rows:  # it was added twice
            continue
        missing = entry.before - count.n_rows
        batches += entry.batches
        n_missing += missing
        counts[entry.source] = SourceCount(entry.before + entry.n_rows, count.n_dropped + missing)
    return batches, counts, n_missing


def _order(entry_id: str) -> tuple[int, ...]:
    return tuple(int(part) for part in entry_id.split("-"))


def _after(entry_id: str) -> str:
    """The smallest id after `entry_id`."""
    milliseconds, number = _order(entry_id)
    return f"{milliseconds}-{number + 1}"


def _sum(one: Drained, other: Drained) -> Drained:
    return Drained(
        *(
            getattr(one, name) + getattr(other, name)
            for name in ("n_rows", "n_entries", "n_dropped", "n_broken")
        )
    )


class Backlog(TypedDict):
    """The entries waiting in the stream."""

    n_entries: int
    oldest_at: float | None
    """Seconds since 1970; None if there are none."""


def backlog(client: redis.Redis, prefix: str) -> Backlog:
    """The number of entries in the stream, and the time of the oldest."""
    key = RedisKeys(prefix).telemetry
    oldest: Any = client.xrange(key, count=1)
    return {
        "n_entries": client.xlen(key),
        "oldest_at": _order(oldest[0][0].decode())[0] / 1000 if oldest else None,
    }
