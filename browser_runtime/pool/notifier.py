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
        self._timer: asyncio.TimerHandle | None = None

    def notify(self) -> None:
        """Let every listener act and every waiter look."""
        for listener in self.listeners:
            listener()
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def notify_in(self, delay_s: float | None) -> None:
        """Notify after `delay_s`, instead of when this was asked for last; None: not at all."""
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = None if delay_s is None else loop.call_later(delay_s, self.notify)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return when `holds()` is true."""
        while not holds():
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)
