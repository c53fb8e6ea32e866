"""A coroutine into which an exception can be thrown where it awaits.

So a task's body sees `SoftTimeLimitExceeded` itself, as it would in a process of its own, and may clean up
or return what it has. asyncio alone can throw nothing but CancelledError.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any


class Interruptible:
    """Awaitable around `coroutine`; `interrupt` throws into it. Used on one event loop only."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self._pending: BaseException | None = None
        self._task: asyncio.Task[Any] | None = None

    def interrupt(self, error: BaseException) -> None:
        """Raise `error` at the await where the coroutine waits now; nothing when it has ended."""
        if self._task is not None:
            self._pending = error
            self._task.cancel()

    def __await__(self) -> Generator[Any, Any, Any]:
        self._task = asyncio.current_task()
        step, value = self._coroutine.send, None
        while True:
            try:
                awaited = step(value)
            except StopIteration as done:
                self._task = None
                return done.value
            except BaseException:
                self._task = None
                raise
            try:
                value, step = (yield awaited), self._coroutine.send
            except asyncio.CancelledError as cancelled:
                value, step = self._thrown(cancelled), self._coroutine.throw
            except GeneratorExit:
                self._coroutine.close()
                raise
            except BaseException as error:
                # A task is woken by throwing what its future failed with: the coroutine's to handle.
                value, step = error, self._coroutine.throw

    def _thrown(self, cancelled: asyncio.CancelledError) -> BaseException:
        """The interruption that asked for this cancellation, or the cancellation itself."""
        error, self._pending = self._pending, None
        if error is None or self._task is None:
            return cancelled
        self._task.uncancel()
        return error
