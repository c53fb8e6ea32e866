"""Background tasks of an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import structlog

log = structlog.get_logger(__name__)

# Before a task that failed is started again.
RESTART_INTERVAL_S = 1.0
T = TypeVar("T")


class TaskSet:
    """Keeps the tasks that nobody awaits: the loop itself holds them only weakly."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start `work` on the running loop."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def spawn_for_ever(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work` as often as it ends: an exception costs a turn and a line in the log, never the task."""
        self.spawn(_run_for_ever(name, work))

    async def cancel(self) -> None:
        """Cancel all tasks, those too that they spawn meanwhile, and wait for their ends."""
        while tasks := list(self._tasks):
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _run_for_ever(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    while True:
        try:
            await work()
        except Exception:
            log.exception("background task failed", task=name)
        await asyncio.sleep(RESTART_INTERVAL_S)
