"""The number of a worker's sessions, and so of the tasks that it takes at a time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from celery.utils.log import get_logger

from browser_runtime.loops import LoopThread
from tasks.runner import Runner

log = get_logger(__name__)

# The guide's bounds on browser connections; `browser_runtime.pool` keeps them too.
MIN_SESSIONS, MAX_SESSIONS = 1, 8
# In flight for each lane: one that computes, and enough behind it for a batch and for the next.
SLOTS_PER_LANE = 8


def count_slots(n_sessions: int, n_lanes: int, at_least: int) -> int:
    """Tasks a worker holds at a time: enough for every lane, and never fewer than asked for with -c."""
    return max(n_sessions * n_lanes * SLOTS_PER_LANE, at_least)


class Sizing:
    """Changes the runner's number of sessions, one change at a time, off Celery's thread."""

    def __init__(
        self, runner: Runner, loop: LoopThread, n_sessions: int, on_resized: Callable[[int], None]
    ) -> None:
        self.n_sessions = n_sessions
        """Reached, as far as is known."""
        self.n_wanted = n_sessions
        self._runner, self._loop, self._on_resized = runner, loop, on_resized

    def change(self, by: int) -> None:
        """Grow or shrink by that many. Raises ValueError outside 1..8."""
        self.resize(self.n_wanted + by)

    def resize(self, n_sessions: int) -> None:
        """Start growing or shrinking to `n_sessions`; returns at once. Raises ValueError outside 1..8."""
        if not MIN_SESSIONS <= n_sessions <= MAX_SESSIONS:
            raise ValueError(f"{n_sessions} sessions: a worker has {MIN_SESSIONS} to {MAX_SESSIONS}")
        self.n_wanted = n_sessions
        self._loop.submit(self._runner.resize(n_sessions)).add_done_callback(self._resized)

    def _resized(self, done: Future[int]) -> None:
        if done.cancelled():
            return
        error = done.exception()
        if error is not None:
            log.error("resize failed: sessions=%s error=%s", self.n_wanted, error)
            self.n_wanted = self.n_sessions
            return
        self.n_sessions = self.n_wanted = done.result()
        log.info("resized: sessions=%s", self.n_sessions)
        self._on_resized(self.n_sessions)
