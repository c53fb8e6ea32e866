"""Calls of a lane under two limits: that of the operation and the deadline of its requests."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from browser_runtime.contract.errors import DeadlineExceeded, PageSilent
from browser_runtime.contract.model_key import ModelKey
from browser_runtime.policies.time_limits import TimeLimit, WarmUp

T = TypeVar("T")


class Operation(StrEnum):
    """Operations of a lane for a request."""

    LOAD = "load"
    RUN = "run"


DOING = {Operation.LOAD: "its model was loaded", Operation.RUN: "it was computed"}
# The time limit of an operation on a model, on its backend, by what its warm-up showed.
LimitSource = Callable[[Operation, ModelKey, WarmUp | None], TimeLimit]


@dataclass(frozen=True, slots=True)
class Deadline:
    """The time by which a request must be answered."""

    given_s: float
    """As the caller gave it, from the request's arrival."""
    at: float
    """Monotonic."""

    @classmethod
    def of(cls, given_s: float | None, arrived: float) -> Deadline | None:
        """The deadline of a request that arrived then; None where it has none."""
        return None if given_s is None else cls(given_s, arrived + given_s)

    @property
    def left_s(self) -> float:
        """Seconds until then; 0 where it has passed."""
        return max(self.at - time.monotonic(), 0.0)

    def exceeded(self, doing: str) -> DeadlineExceeded:
        """Make the error of a request that was not answered in time; `doing` is the step it was in then."""
        return DeadlineExceeded(f"{self.given_s:g}", doing)


@asynccontextmanager
async def within(deadline: Deadline | None, doing: str) -> AsyncIterator[None]:
    """End the block when the deadline passes. Raises DeadlineExceeded then."""
    if deadline is None:
        yield
        return
    try:
        async with asyncio.timeout(deadline.left_s) as limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise deadline.exceeded(doing) from error


@dataclass
class LaneActivity:
    """The current operation of a lane, for whoever gives up waiting for it."""

    doing: str = ""
    limit: TimeLimit | None = None
    ends_at: float = 0.0
    """Monotonic time by which the limit is reached."""

    @property
    def left_s(self) -> float:
        """Seconds until then; 0 where it has passed."""
        return max(self.ends_at - time.monotonic(), 0.0)

    async def timed(
        self,
        operation: Operation,
        place: str,
        limit: TimeLimit,
        deadline: Deadline | None,
        call: Callable[[float], Awaitable[T]],
    ) -> T:
        """Return `call(seconds)`. Raises PageSilent past the limit, or DeadlineExceeded before it."""
        self.doing, self.limit = f"{DOING[operation]} {place}", limit
        self.ends_at = time.monotonic() + limit.seconds
        left_s = math.inf if deadline is None else deadline.left_s
        if deadline is not None and left_s <= 0:
            raise deadline.exceeded(self.doing)
        try:
            return await call(min(limit.seconds, left_s))
        except PageSilent as error:
            if deadline is not None and left_s < limit.seconds:
                raise deadline.exceeded(self.doing) from error
            session, what = error.args
            raise PageSilent(session, f"{what} ({limit.reason})") from error
