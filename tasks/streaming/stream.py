"""The producer's end of a streamed reply: an iterator over its text."""

from __future__ import annotations

import math
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, NoReturn, Self

import redis
from celery.exceptions import TimeoutError as ResultTimeout
from celery.result import AsyncResult, EagerResult

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.families import rows_of, served_families
from browser_runtime.contract.messages import Request
from tasks.broker.redis_clients import OUTAGES
from tasks.streaming.entries import END, PieceEntry

# How long one read waits for a piece. Then the reply itself is looked for: its worker may have died before
# it could write the stream's end.
BLOCK_S = 1.0


def check_streamable(request: Request) -> None:
    """Raises BadInput unless the reply is one generated text."""
    if not any(row.generates for row in rows_of(request.family)):
        streamed = ", ".join(str(f) for f in served_families() if any(row.generates for row in rows_of(f)))
        raise BadInput("model_type", f"{str(request.family)!r} for a stream", f"one of {streamed}")
    if not request.single:
        raise BadInput("inputs", "a list for a stream", "one prompt; send the others in streams of their own")


class Stream:
    """The pieces of one reply as they are generated: `for piece in stream: ...`. The reply follows them.

    Joined, the pieces are the reply's text. A reader that loses Redis goes on where it was, and a request
    that another worker runs again prints nothing twice. Several readers share the pieces: each gets some.
    """

    def __init__(self, result: AsyncResult[Any], key: str, client: Callable[[], redis.Redis]) -> None:
        self.result = result
        """Celery's result: its `get()` gives the reply too."""
        self.reply: dict[str, Any] | None = None
        """The whole reply; None until the pieces have ended."""
        self._key, self._client = key, client
        self._last: Any = "0"
        self._n_characters = 0
        self._texts: deque[str] = deque()
        self._reading = threading.Lock()
        self._stopping: weakref.finalize[Any, Any] | None = None
        """Stops the request where nobody can read it to its end any more."""

    @property
    def id(self) -> str:
        """The task's id."""
        return str(self.result.id)

    def __iter__(self) -> Iterator[str]:
        """The text, piece by piece. Raises what the request failed with.

        A loop that is left early may be gone on with by another one. Once nothing refers to the stream any
        more the request is stopped, as `close` stops it.
        """
        return self.pieces()

    def pieces(self, timeout: float | None = None) -> Iterator[str]:
        """Like `for piece in stream`, for `timeout` seconds at most. Raises Celery's TimeoutError then."""
        ends_at = math.inf if timeout is None else time.monotonic() + timeout
        while (text := self._next(ends_at)) is not None:
            yield text

    def _next(self, ends_at: float) -> str | None:
        """The next piece; None behind the last one."""
        if self._stopping is None:
            self._stopping = weakref.finalize(self, _stop_unread, self.result)
        with self._reading:
            while not self._texts:
                if self.reply is not None:
                    return None
                self._read(ends_at)
            return self._texts.popleft()

    def _read(self, ends_at: float) -> None:
        """Take in what has come within a second, or the end."""
        left_s = ends_at - time.monotonic()
        has_ended = self._take_pieces(min(max(left_s, 0.001), BLOCK_S))
        if has_ended or (not self._texts and self.result.ready()):
            self._finish(ends_at)
        elif not self._texts and left_s <= 0:
            raise ResultTimeout("The stream did not end in time.")

    def _take_pieces(self, block_s: float) -> bool:
        """Take in new pieces, waiting for them so long; return True where the stream has ended."""
        if isinstance(self.result, EagerResult):
            return True  # it ran in this process before there was a stream
        try:
            found: Any = self._client().xread({self._key: self._last}, block=max(round(block_s * 1000), 1))
        except OUTAGES:
            return False  # looking for the reply waits for Redis, for as long as Celery does
        for _, entries in found:
            for identifier, fields in entries:
                self._last = identifier
                if END in fields:
                    return True
                self.take(PieceEntry.from_redis(fields))
        return False

    def take(self, entry: PieceEntry) -> None:
        """Keep the text of the entry that is new. Text behind a lost piece waits for the reply."""
        known = self._n_characters - entry.n_characters
        if 0 <= known < len(entry.piece.text):
            self._put(entry.piece.text[known:])

    def _put(self, text: str) -> None:
        self._n_characters += len(text)
        self._texts.append(text)

    def _finish(self, ends_at: float) -> None:
        """Take in the reply, and the text that no piece brought. Raises what the request failed with."""
        left_s = ends_at - time.monotonic()
        self.result.get(timeout=None if left_s == math.inf else max(left_s, 0.001), propagate=False)
        self._forget()
        reply = self.result.get()
        if rest := str(reply["output"]["text"])[self._n_characters :]:
            self._put(rest)
        self.reply = reply

    def _forget(self) -> None:
        """Nothing is to be stopped or read any more; what remains in Redis goes by itself after a time."""
        if self._stopping is not None:
            self._stopping.detach()
        if not isinstance(self.result, EagerResult):
            with suppress(*OUTAGES):
                self._client().unlink(self._key)

    def close(self) -> None:
        """Stop the request within a token, unless it has ended. The reply of what was stopped is not kept."""
        if self.reply is None and not self.result.ready():
            self.result.revoke(terminate=True)
            self._forget()

    @property
    def app(self) -> NoReturn:
        """What Celery's canvases ask their parts for. Raises BadInput: a stream is sent already."""
        raise _refuse_canvas()

    def __or__(self, other: object) -> NoReturn:
        raise _refuse_canvas()

    __ror__ = __or__

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _refuse_canvas() -> BadInput:
    return BadInput("infer.stream", "a part of a canvas", "read by itself; canvases take infer.s(...)")


def _stop_unread(result: AsyncResult[Any]) -> None:
    """Stop a request whose stream is gone. Called wherever the last reference to the stream goes.

    That may be amid an operation of the same connection, so another thread does it; when the process ends
    none can be started, and nothing else runs.
    """
    if threading.main_thread().is_alive():
        threading.Thread(target=_revoke, args=(result,), name="stop-unread-stream").start()
    else:
        _revoke(result)


def _revoke(result: AsyncResult[Any]) -> None:
    with suppress(redis.RedisError, *OUTAGES):
        result.revoke(terminate=True)
