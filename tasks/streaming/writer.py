"""The worker's end of streamed replies: pieces go to Redis in a thread, so that no lane waits for it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

import redis
from celery.utils.log import get_logger

from browser_runtime.contract.pieces import Piece, PieceMemory
from tasks.broker.redis_clients import OUTAGES
from tasks.periodic import failed_turns
from tasks.streaming.entries import END, PieceEntry, join_tokens, read_entries

log = get_logger(__name__)

# Pieces of all replies that wait for Redis: more come with the reply only.
MAX_WAITING = 10_000


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
    """Sends the pieces of all replies of a process, in one thread that sleeps while there are none."""

    def __init__(self, client: Callable[[], redis.Redis], ttl_s: int) -> None:
        """`client` is called in the threads that use it; a stream is forgotten `ttl_s` after its end."""
        self._client, self._ttl_s = client, ttl_s
        self._waiting: queue.Queue[tuple[str, PieceEntry]] = queue.Queue(MAX_WAITING)
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self.n_dropped = 0
        """Pieces that Redis could not take: their text came with the reply."""

    def open(self, key: str) -> PieceWriter:
        """A sink for the reply whose stream is `key`. Asks Redis what an earlier run has written."""
        found: Any = self._client().xrange(key)
        entries = read_entries(found)
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="stream-writer", daemon=True)
                self._thread.start()
        return PieceWriter(key, join_tokens(entries), self._put)

    def end(self, key: str) -> None:
        """Tell the reader that the reply, or its error, is stored. Called in a thread that may wait."""
        try:
            with self._client().pipeline(transaction=False) as pipeline:
                pipeline.xadd(key, {END: b"1"})
                pipeline.expire(key, self._ttl_s)
                pipeline.execute()
        except OUTAGES as error:  # the reader looks for the reply by itself, only later
            log.warning("end of stream not written: %s", error)

    def _put(self, key: str, entry: PieceEntry) -> None:
        try:
            self._waiting.put_nowait((key, entry))
        except queue.Full:
            self._drop(1, "Redis is slower than the model")

    def _write(self) -> None:
        while True:
            entries = [self._waiting.get()]
            while not self._waiting.empty():
                entries.append(self._waiting.get())
            try:
                self._send(entries)
            except Exception as error:  # the thread serves every later reply too
                failed_turns["stream-writer"] += 1
                self._drop(len(entries), error)

    def _send(self, entries: Sequence[tuple[str, PieceEntry]]) -> None:
        with self._client().pipeline(transaction=False) as pipeline:
            for key, entry in entries:
                pipeline.xadd(key, entry.to_redis())
            for key in {key for key, _ in entries}:
                pipeline.expire(key, self._ttl_s)
            pipeline.execute()

    def _drop(self, n_pieces: int, why: object) -> None:
        self.n_dropped += n_pieces
        log.warning("pieces of a stream dropped: n=%s why=%s", n_pieces, why)
