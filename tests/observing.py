"""Listens to a pool's requests beside the observer that it has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from browser_runtime.pool import Pool
from browser_runtime.pool.dispatch.observer import DispatchObserver
from browser_runtime.pool.dispatch.requests import PendingRequest


class Relay(DispatchObserver):
    """Passes every event on to the observer there was before."""

    def __init__(
        self,
        before: DispatchObserver,
        busy: Callable[[int], None] = lambda n_busy: None,
        answered: Callable[[PendingRequest], None] = lambda pending: None,
    ) -> None:
        self._before, self._busy, self._answered = before, busy, answered

    def queued(self, pending: PendingRequest) -> None:
        """See `DispatchObserver`."""
        self._before.queued(pending)

    def busy(self, n_busy: int) -> None:
        """See `DispatchObserver`."""
        self._before.busy(n_busy)
        self._busy(n_busy)

    def answered(self, pending: PendingRequest) -> None:
        """See `DispatchObserver`."""
        self._before.answered(pending)
        self._answered(pending)


@contextmanager
def computing(pool: Pool) -> Iterator[asyncio.Event]:
    """An event that is set once a lane computes."""
    event = asyncio.Event()
    before = pool.dispatch.outcomes.observer
    pool.dispatch.observe(Relay(before, busy=lambda n_busy: event.set() if n_busy else None))
    try:
        yield event
    finally:
        pool.dispatch.observe(before)
