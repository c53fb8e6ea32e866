"""Wakes tasks that wait for a change of the pool: no polling, no sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Notifier:
    """Wakes its waiters, who look again at what they wait for."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[], None]] = []
        """Called at every change, before the waiters look."""
        self._waiters: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        """Let every listener act and every waiter look."""
        for listener in self.listeners:
            listener()
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return when `holds()` is true."""
        while not holds():
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)
