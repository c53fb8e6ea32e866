"""Measures the load of this machine's processors between two looks, so never a 0 for want of a first."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil

# The kernel counts in hundredths of a second: a shorter span tells more of its rounding than of the load.
SHORTEST_SPAN_S = 0.5


@dataclass(frozen=True, slots=True)
class Reading:
    """Processor seconds since the machine started, of all its processors."""

    at_s: float
    busy_s: float
    total_s: float


class ProcessorMeter:
    """The load since the look before, which whoever owns this takes every few seconds."""

    def __init__(
        self, read: Callable[[], Any] = psutil.cpu_times, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read, self._clock = read, clock
        self._last = self._take()
        self._percent = 0.0

    def look(self) -> float:
        """Percent of all processors' time, 0 to 100; within SHORTEST_SPAN_S of a look, what that found."""
        now = self._take()
        passed_s = now.total_s - self._last.total_s
        if now.at_s - self._last.at_s >= SHORTEST_SPAN_S and passed_s > 0:
            share = (now.busy_s - self._last.busy_s) / passed_s
            self._percent, self._last = 100 * min(max(share, 0.0), 1.0), now
        return self._percent

    def _take(self) -> Reading:
        times = self._read()
        # Linux counts what a guest takes twice: as such, and as user time.
        total_s = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        idle_s = times.idle + getattr(times, "iowait", 0.0)
        return Reading(self._clock(), total_s - idle_s, total_s)
