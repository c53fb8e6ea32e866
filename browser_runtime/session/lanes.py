"""A session's lanes and what runs on them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum

from browser_runtime.contract.messages import Request
from browser_runtime.link.bridge import LaneConnection
from browser_runtime.models.store import StoredModel
from browser_runtime.session.loading import ModelCache


class SessionState(StrEnum):
    """Where a session is in its life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    LOST = "lost"
    CLOSED = "closed"


@dataclass(eq=False)
class SessionLane:
    """A lane with its loaded models; one request at a time."""

    connection: LaneConnection
    models: ModelCache
    busy: bool = False
    boot: str = ""


@dataclass(frozen=True, slots=True)
class LaneJob:
    """What one run on a lane computes: a request, or several merged into one."""

    request: Request
    model: StoredModel
    deadline: float | None = None
    """Monotonic time by which it must be answered."""

    def remaining_s(self, limit_s: float) -> float:
        """Time left until the deadline, at most `limit_s`."""
        if self.deadline is None:
            return limit_s
        return max(min(self.deadline - time.monotonic(), limit_s), 0.0)
