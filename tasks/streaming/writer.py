"""The worker's end of streamed replies: pieces go to Redis in a thread, so that no lane waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import redis
from celery.utils.log import get_logger

from browser_runtime.contract.pieces import Piece, PieceMemory
from tasks.broker.redis_clients import OUTAGES
from tasks.periodic import failed_turns
from tasks.streaming.entries import END, PieceEntry, join_tokens, read_entries

log = get_logger(__name__)

# Between two tries to reach a Redis that is away; its client has tried several times by then.
RETRY_S = 0.5
# The end of a stream waits so long for its pieces to be written; a reader finds the reply without it.
LONGEST_END_S = 2.0

Waiting = dict[str, list[PieceEntry | None]]
"""By the key of their stream; None is its end."""


class PieceWriter(PieceMemory):
    """Writes the pieces of one reply; those that are given once more are read once."""

    def __init__(self, key: str, earlier: Sequence[int], put: Callable[[str, PieceEntry], None]) -> None:
        super().__init__(earlier)
        self._key, self._put = key, put

    def put(self, piece: Piece) -> None:
        """Send the piece on its way."""
        self._put(self._key, PieceEntry(piece, self.n_tokens, self.n_characters))
        super().put(piece)


class StreamWriter:
    """Sends the pieces of all replies of a process, in one thread that sleeps while there are none.

    While Redis is away they wait, joined to one entry a reply, and go on where they stopped.
    """

    def __init__(self, client: Callable[[], redis.Redis], ttl_s: int) -> None:
        """`client` is called in the threads that use it; a stream is forgotten `ttl_s` after its end."""
        self._client, self._ttl_s = client, ttl_s
        self._waiting: Waiting = {}
        self._changed = threading.Condition()
        self._writing: Waiting = {}
        self._thread: threading.Thread | None = None

    def open(self, key: str) -> PieceWriter:
        """A sink for the reply whose stream is `key`. Asks Redis what an earlier run has written."""
        found: Any = self._client().xrange(key)
        return PieceWriter(key, join_tokens(read_entries(found)), self._put)

    def end(self, key: str) -> None:
        """Tell the reader that the reply, or its error, is stored. Called in a thread that may wait."""
        self._put(key, None)
        with self._changed:
            self._changed.wait_for(lambda: key not in self._waiting | self._writing, LONGEST_END_S)

    def _put(self, key: str, entry: PieceEntry | None) -> None:
        with self._changed:
            entries = self._waiting.setdefault(key, [])
            last = entries[-1] if entries else None
            if entry is not None and last is not None and last.is_followed_by(entry):
                entries[-1] = last.join(entry)
            else:
                entries.append(entry)
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="stream-writer", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                self._writing, self._waiting = self._waiting, {}
            self._deliver(self._writing)
            with self._changed:
                self._writing = {}
                self._changed.notify_all()

    def _deliver(self, taken: Waiting) -> None:
        """Send until Redis has them. What it refuses is dropped: its text comes with the reply."""
        is_told = False
        while not self._try(taken, is_told):
            is_told = True
            time.sleep(RETRY_S)

    def _try(self, taken: Waiting, is_told: bool) -> bool:
        """Send once; return False where Redis is away."""
        try:
            self._send(taken)
        except OUTAGES as error:
            if not is_told:
                log.warning("pieces of streams wait for Redis: n=%s why=%s", len(taken), error)
            return False
        except Exception as error:  # the thread serves every later reply too
            failed_turns["stream-writer"] += 1
            log.warning("pieces of streams dropped: n=%s why=%s", len(taken), error)
        return True

    def _send(self, taken: Mapping[str, Sequence[PieceEntry | None]]) -> None:
        """Write all entries; no stream is ever there without the time at which it goes."""
        with self._client().pipeline(transaction=True) as pipeline:
            for key, entries in taken.items():
                for entry in entries:
                    pipeline.xadd(key, {END: b"1"} if entry is None else entry.to_redis())
                pipeline.expire(key, self._ttl_s)
            pipeline.execute()
