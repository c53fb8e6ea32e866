"""The observer of a session's life."""

from __future__ import annotations

from typing import Generic, TypeVar

from browser_runtime.contract.errors import SessionLost
from browser_runtime.link.protocol import PageEvent

S = TypeVar("S")


class SessionObserver(Generic[S]):
    """Called by sessions of the class S on their loop; by itself it ignores everything."""

    async def started(self, session: S) -> None:
        """A session is up; requests go there once this returns."""

    def rejoined(self, session: S, reason: str) -> None:
        """A connection dropped and was taken up again."""

    def reported(self, session: S, event: PageEvent) -> None:
        """The page reported an event."""

    def lost(self, session: S, error: SessionLost) -> None:
        """The browser, the page or a connection is gone for good."""

    def ended(self, session: S, error: SessionLost | None) -> None:
        """A session has ended, or is about to; `error` is what it was lost to."""
