"""From the Redis stream into the file: no row twice, none lost that is still in the stream.

The stream's position and each source's count are written in the same transaction as the rows. Whatever
happens between that commit and the trimming of the stream, the next drain goes on behind the position. A
source counts its rows, so an entry that was added twice is known, and so are rows that were dropped.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

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
    """What a drain came to."""

    n_rows: int = 0
    n_entries: int = 0
    n_dropped: int = 0
    """Rows that sources had sent and that never came."""
    n_broken: int = 0
    """Entries that could not be read; they are in the log."""


@dataclass(frozen=True, slots=True)
class SourceCount:
    """What is known of one emitting process."""

    n_rows: int
    n_dropped: int


class Drain:
    """Moves the stream of one Redis into one history."""

    def __init__(self, client: redis.Redis, prefix: str, history: History) -> None:
        self._client: Any = client  # whose stubs know only text, or nothing, as a stream's ids
        self._key, self._history = RedisKeys(prefix).telemetry, history

    def run(self, budget_s: float) -> Drained:
        """Move what there is, for about so long.

        Raises HistoryUnavailable or redis.RedisError; what was not moved stays in the stream.
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
        """The position to go on behind: the start where this is not the stream that was read before."""
        found = self._history.read("SELECT last_id FROM drained WHERE stream = $1", [self._key])
        if not found or not self._client.exists(self._key):
            return str(found[0]["last_id"]) if found else START
        newest = self._client.xinfo_stream(self._key)["last-generated-id"].decode()
        last_id = str(found[0]["last_id"])
        return last_id if _order(newest) >= _order(last_id) else START

    def _move(self, entries: list[tuple[bytes, Fields]]) -> Drained:
        """One transaction; one an entry where a row cannot be kept, so that only its entry is lost."""
        try:
            return self._move_together(entries)
        except ValueError as error:
            if len(entries) > 1:
                return reduce(_sum, (self._move([entry]) for entry in entries))
            log.error("an entry cannot be kept and is passed over", id=entries[0][0].decode(), why=str(error))
            with self._history.transaction():
                self._keep_position(entries[0][0].decode())
            return Drained(0, 1, 0, 1)

    def _move_together(self, entries: list[tuple[bytes, Fields]]) -> Drained:
        """One transaction: rows, each source's count, and the position."""
        read = [self._decode(key, fields) for key, fields in entries]
        whole = [entry for entry in read if entry is not None]
        is_new = not self._history.read("SELECT 1 FROM drained LIMIT 1")
        batches, counts, dropped = count_in(whole, self._counts(), adopt=is_new)
        self._tell_strange(batches)
        with self._history.transaction():
            n_rows = self._history.append_within(batches)
            self._keep_counts(counts)
            self._keep_position(entries[-1][0].decode())
        return Drained(n_rows, len(entries), dropped, len(entries) - len(whole))

    def _decode(self, key: bytes, fields: Fields) -> StreamEntry | None:
        try:
            return decode(fields)
        except ValueError as error:
            log.error("an entry cannot be read and is passed over", id=key.decode(), why=str(error))
            return None

    def _tell_strange(self, batches: list[RowBatch]) -> None:
        """Tables and columns that this version does not know are passed over, loudly."""
        strange = Counter(what for batch in batches for what in self._history.unknown(batch))
        for what, n in strange.items():
            log.error(
                "this version does not know a part of the rows and passes it over", what=what, batches=n
            )

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
    """(batches to keep, the counts of the sources seen, rows found missing). Pure.

    With `adopt` a source met in the midst of its life is new to us, not a source that lost its beginning.
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
    """The smallest id behind `entry_id`."""
    milliseconds, number = _order(entry_id)
    return f"{milliseconds}-{number + 1}"


def _sum(one: Drained, other: Drained) -> Drained:
    return Drained(
        *(
            getattr(one, name) + getattr(other, name)
            for name in ("n_rows", "n_entries", "n_dropped", "n_broken")
        )
    )


def backlog(client: redis.Redis, prefix: str) -> dict[str, Any]:
    """How many entries wait in the stream, and when the oldest came (seconds since 1970; None: empty)."""
    key = RedisKeys(prefix).telemetry
    oldest: Any = client.xrange(key, count=1)
    return {
        "n_entries": client.xlen(key),
        "oldest_at": _order(oldest[0][0].decode())[0] / 1000 if oldest else None,
    }
