"""Connections that have not proved themselves yet: few at a time, so that strangers take no room."""

from __future__ import annotations

import asyncio
from typing import Any

from websockets.asyncio.server import ServerConnection

# Connections that have not proved themselves: a pool's lanes and pages are fewer. The oldest makes room.
MAX_UNPROVED = 64


class Visitor(ServerConnection):
    """A connection that has to prove itself; among too many of them the oldest is dropped."""

    def __init__(self, unproved: dict[Visitor, None], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unproved = unproved

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self._unproved[self] = None
        while len(self._unproved) > MAX_UNPROVED:
            oldest = next(iter(self._unproved))
            del self._unproved[oldest]
            oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._unproved.pop(self, None)
        super().connection_lost(exc)
