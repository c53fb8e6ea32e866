"""The observer of requests on their way through the pool."""

from __future__ import annotations

from browser_runtime.pool.dispatch.requests import PendingRequest


class DispatchObserver:
    """Called on the pool's loop; by itself it ignores everything."""

    def queued(self, pending: PendingRequest) -> None:
        """A request has come in."""

    def busy(self, n_busy: int) -> None:
        """The number of lanes that compute has changed."""

    def answered(self, pending: PendingRequest) -> None:
        """A request has its reply, or the error of its item."""
