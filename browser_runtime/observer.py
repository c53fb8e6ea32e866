"""Who is told what happens in a pool, besides the callers: for a history, say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from browser_runtime.contract.errors import InferenceError
    from browser_runtime.contract.vocabulary import Backend
    from browser_runtime.session.lanes import LaneJob
    from browser_runtime.session.session import Session


class PoolObserver(Protocol):
    """Called on the pool's loop, in the midst of its work: each method returns at once and never raises."""

    def loaded(
        self,
        session: Session,
        job: LaneJob,
        backend: Backend,
        answer: dict[str, Any] | None,
        error: InferenceError | None,
    ) -> None:
        """A model was opened on a backend (the page's answer to `load`), or was refused by it."""

    def connected(self, session: Session, event: str, reason: str = "") -> None:
        """What became of a session: opened, closed, died, recycled, reconnected, demoted."""

    def scaled(self, event: dict[str, Any]) -> None:
        """Adaptive scaling decided: see `browser_runtime.pool.autoscaler`."""


class Observers:
    """Several observers as one, told in their order."""

    def __init__(self, *observers: PoolObserver) -> None:
        self._observers = observers

    def loaded(
        self,
        session: Session,
        job: LaneJob,
        backend: Backend,
        answer: dict[str, Any] | None,
        error: InferenceError | None,
    ) -> None:
        """See `Observer`."""
        for observer in self._observers:
            observer.loaded(session, job, backend, answer, error)

    def connected(self, session: Session, event: str, reason: str = "") -> None:
        """See `Observer`."""
        for observer in self._observers:
            observer.connected(session, event, reason)

    def scaled(self, event: dict[str, Any]) -> None:
        """See `Observer`."""
        for observer in self._observers:
            observer.scaled(event)
