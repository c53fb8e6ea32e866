"""The producer's end of a streamed reply: an iterator over its text."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import Any, Self

import redis
from celery.result import AsyncResult

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.families import rows_of, served_families
from browser_runtime.contract.messages import Request
from tasks.broker.redis_clients import OUTAGES
from tasks.streaming.entries import END, PieceEntry

# How long one read waits for a piece. Then the reply itself is looked for: its worker may have died before
# it could write the stream's end.
BLOCK_MS = 1000


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
    that another worker runs again prints nothing twice.
    """

    def __init__(self, result: AsyncResult[Any], key: str, client: Callable[[], redis.Redis]) -> None:
        self.result = result
        """Celery's result: its `get()` gives the reply too."""
        self.reply: dict[str, Any] | None = None
        """The whole reply; None until the pieces have ended."""
        self._key, self._client = key, client
        self._last: Any = "0"
        self._n_characters = 0

    @property
    def id(self) -> str:
        """The task's id."""
        return str(self.result.id)

    def __iter__(self) -> Iterator[str]:
        """The text, piece by piece. Raises what the request failed with.

        Leaving the loop early does not stop the request: `close` does, and so does `with`.
        """
        while self.reply is None:
            has_ended = yield from self._read()
            if has_ended or self.result.ready():
                yield from self._finish()

    def _read(self) -> Generator[str, None, bool]:
        """New pieces of text within a second; True where the stream has ended."""
        try:
            found: Any = self._client().xread({self._key: self._last}, block=BLOCK_MS)
        except OUTAGES:
            return False  # looking for the reply waits for Redis, for as long as Celery does
        for _, entries in found:
            for identifier, fields in entries:
                self._last = identifier
                if END in fields:
                    return True
                yield from self._new_text(PieceEntry.from_redis(fields))
        return False

    def _new_text(self, entry: PieceEntry) -> Iterator[str]:
        """Yield the text of the entry that is new. Text behind a lost piece waits for the reply."""
        known = self._n_characters - entry.n_characters
        if 0 <= known < len(entry.piece.text):
            text = entry.piece.text[known:]
            self._n_characters += len(text)
            yield text

    def _finish(self) -> Iterator[str]:
        """The text that no piece brought, if any."""
        reply = self.result.get()
        rest = str(reply["output"]["text"])[self._n_characters :]
        if rest:
            yield rest
        self.reply = reply
        self._client().unlink(self._key)

    def close(self) -> None:
        """Stop the request within a token, unless it has ended. The reply of what was stopped is not kept."""
        if self.reply is None and not self.result.ready():
            self.result.revoke(terminate=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
