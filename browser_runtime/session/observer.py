"""The observer of a session's life."""

from __future__ import annotations

from typing import TYPE_CHECKING

from browser_runtime.contract.errors import SessionLost
from browser_runtime.link.protocol import PageEvent

if TYPE_CHECKING:
    from browser_runtime.session.session import Session


class SessionObserver:
    """Called on the session's loop; by itself it ignores everything."""

    async def started(self, session: Session) -> None:
        """A session is up; requests go there once this returns."""

    def rejoined(self, session: Session, reason: str) -> None:
        """A connection dropped and was taken up again."""

    def reported(self, session: Session, event: PageEvent) -> None:
        """The page reported an event."""

    def lost(self, session: Session, error: SessionLost) -> None:
        """The browser, the page or a connection is gone for good."""

    def ended(self, session: Session, error: SessionLost | None) -> None:
        """A session has ended, or is about to; `error` is what it was lost to."""
