"""Work that is done exactly once and to its end, whoever waits for it and whoever is cancelled meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Once:
    """One coroutine, begun by the first who waits for it; a waiter that is cancelled only stops waiting."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._work = work
        self._task: asyncio.Task[None] | None = None

    @property
    def begun(self) -> bool:
        """True once anybody has waited for it."""
        return self._task is not None

    async def done(self) -> None:
        """Return when the work is done. Raises what it raised."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work())
        await asyncio.shield(self._task)


async def call_in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `work` in a thread and return its result; right here at the interpreter's end, without threads."""
    try:
        future = asyncio.get_running_loop().run_in_executor(None, partial(work, *args, **kwargs))
    except RuntimeError:
        return work(*args, **kwargs)
    return await future
