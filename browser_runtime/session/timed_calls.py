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
from browser_runtime.link.silence import Silence
from browser_runtime.policies.time_limits import TimeLimit, WarmUp

T = TypeVar("T")
# A timer may fire so much before the clock shows its time.
CLOCK_SLACK_S = 0.01


class Operation(StrEnum):
    """Operations of a lane for a request."""

    LOAD = "load"
    RUN = "run"
    PROMPT = "prompt"
    """Of a text that is generated: up to its first token."""
    STEP = "step"
    """From one token to the next."""


DOING = {
    Operation.LOAD: "its model was loaded",
    Operation.RUN: "it was computed",
    Operation.PROMPT: "its prompt was read",
    Operation.STEP: "it was generated",
}
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
    _between: TimeLimit | None = None
    """The limit from one sign of progress to the next."""

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
        self._enter(operation, place, limit)
        left_s = math.inf if deadline is None else deadline.left_s
        if deadline is not None and left_s <= 0:
            raise deadline.exceeded(self.doing)
        try:
            return await call(min(limit.seconds, left_s))
        except PageSilent as error:
            if deadline is not None and left_s < limit.seconds:
                raise deadline.exceeded(self.doing) from error
            raise _explained(error, limit) from error

    async def watched(
        self,
        place: str,
        first: TimeLimit,
        between: TimeLimit,
        deadline: Deadline | None,
        call: Callable[[float | None, Silence], Awaitable[T]],
    ) -> T:
        """Return `call(seconds, silence)`, of something that calls `progressed` as it goes on.

        Raises PageSilent where it stands still for longer than a limit, and DeadlineExceeded.
        """
        self._between = between
        self._enter(Operation.PROMPT, place, first)
        if deadline is not None and deadline.left_s <= 0:
            raise deadline.exceeded(self.doing)
        try:
            silence = Silence(first.seconds, between.seconds)
            return await call(None if deadline is None else deadline.left_s, silence)
        except PageSilent as error:
            if deadline is not None and deadline.left_s <= CLOCK_SLACK_S:
                raise deadline.exceeded(self.doing) from error
            assert self.limit is not None
            raise _explained(error, self.limit) from error

    def progressed(self, place: str) -> None:
        """Note that the operation goes on."""
        if self._between is not None:
            self._enter(Operation.STEP, place, self._between)

    def _enter(self, operation: Operation, place: str, limit: TimeLimit) -> None:
        self.doing, self.limit = f"{DOING[operation]} {place}", limit
        self.ends_at = time.monotonic() + limit.seconds


def _explained(error: PageSilent, limit: TimeLimit) -> PageSilent:
    session, what = error.args
    return PageSilent(session, f"{what} ({limit.seconds:g} s: {limit.reason})")
