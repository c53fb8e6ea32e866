"""Text as it is generated in this process: an asynchronous iterator over its pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from browser_runtime.contract.messages import Request
from browser_runtime.contract.pieces import Piece, PieceMemory

if TYPE_CHECKING:
    from webinfer.integration.engine import Engine


class _Forwarder(PieceMemory):
    """Takes pieces on the pool's loop and hands what is new of their text to the reader's."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.get_running_loop()
        self.texts: asyncio.Queue[str | None] = asyncio.Queue()
        self._n_sent = 0

    def put(self, piece: Piece) -> None:
        """Forward the text that was not there before: a run that goes on behind a lost one repeats some."""
        new = piece.text[max(self._n_sent - self.n_characters, 0) :]
        super().put(piece)
        if new:
            self._n_sent += len(new)
            self.loop.call_soon_threadsafe(self.texts.put_nowait, new)

    def end(self) -> None:
        """Tell the reader that nothing follows. Called on the pool's loop."""
        self.loop.call_soon_threadsafe(self.texts.put_nowait, None)


class TextStream:
    """The pieces of one reply. Leaving the loop early stops the request within a token."""

    def __init__(self, request: Request, engine: Engine) -> None:
        self._request, self._engine = request, engine
        self.reply: dict[str, Any] | None = None
        """The whole result; None until the pieces have ended."""

    async def __aiter__(self) -> AsyncIterator[str]:
        """The text, piece by piece. Raises what the request failed with."""
        pieces = _Forwarder()
        answer = self._engine.ask(self._request, pieces)
        answer.add_done_callback(lambda _: pieces.end())
        try:
            while (text := await pieces.texts.get()) is not None:
                yield text
            self.reply = (await asyncio.wrap_future(answer)).to_dict()
        finally:
            answer.cancel()
