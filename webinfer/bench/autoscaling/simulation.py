"""Simulates a queue and its workers: the worker time and latencies under an autoscaler. Pure.

There is one queue, first come first served. Workers have one lane, take `start_s` to start, and finish their
request when asked to stop. As in Celery, a worker takes messages out of the list before it computes them.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Protocol

from webinfer.bench.autoscaling.patterns import Pattern

# The decision task's period.
LOOK_S = 5.0


@dataclass(frozen=True, slots=True)
class QueueSample:
    """An autoscaler's observation."""

    now: float
    n_ready: int
    n_starting: int
    listed: int
    """Messages in the Redis list: all that KEDA's scaler sees."""
    in_flight: int
    """Messages taken and not acknowledged."""
    n_arrived: int
    """Since the last look, as the next two."""
    n_answered: int
    mean_busy: float

    @property
    def n_workers(self) -> int:
        """The number of workers, ready and starting."""
        return self.n_ready + self.n_starting


class SimulatedScaler(Protocol):
    """Decides at every observation how many workers there should be."""

    def target(self, sample: QueueSample) -> int:
        """Workers wanted, starting ones included."""


@dataclass(frozen=True, slots=True)
class SimulatedQueue:
    """The parameters that are the same for every autoscaler."""

    service_s: float = 0.5
    service_cv: float = 0.2
    start_s: float = 12.0
    n_slots: int = 8
    """Messages a worker takes at a time: see workers/execution/sizing.py."""
    most: int = 16
    seed: int = 7

    def of(self, pattern: Pattern) -> SimulatedQueue:
        """The queue with the times measured with a recorded pattern."""
        measured = {key: getattr(pattern, key) for key in ("service_s", "service_cv", "start_s")}
        return replace(self, **{key: value for key, value in measured.items() if value is not None})


@dataclass
class SimulationResult:
    """The result of a simulation."""

    latencies_s: list[float] = field(default_factory=list)
    worker_s: float = 0.0
    """Paid for: starting, computing, idle and stopping."""
    counts: list[tuple[float, int]] = field(default_factory=list)
    """(time, workers wanted) at every look."""

    @property
    def worker_minutes(self) -> float:
        """Worker time in minutes."""
        return self.worker_s / 60

    @property
    def p95_s(self) -> float:
        """The 95th percentile of latency, waiting included."""
        ordered = sorted(self.latencies_s)
        return ordered[min(int(0.95 * len(ordered)), len(ordered) - 1)] if ordered else 0.0

    @property
    def n_changes(self) -> int:
        """The number of changes of the number of workers."""
        return sum(a != b for (_, a), (_, b) in pairwise(self.counts))

    def n_reversals(self, within_s: float = 120.0) -> int:
        """The number of changes that undid an opposite one less than `within_s` before: oscillation."""
        steps = [(at, b - a) for (_, a), (at, b) in pairwise(self.counts) if a != b]
        return sum(
            (first > 0) is not (second > 0) and then - at <= within_s
            for (at, first), (then, second) in pairwise(steps)
        )


class Simulation:
    """Runs one arrival pattern under one autoscaler."""

    def __init__(self, arrivals: Sequence[float], scaler: SimulatedScaler, simulated: SimulatedQueue) -> None:
        self._arrivals, self._scaler, self._world = arrivals, scaler, simulated
        self._chance = random.Random(simulated.seed)  # noqa: S311 - a repeatable simulation
        self._waiting: deque[float] = deque()
        self._workers: list[tuple[float, float]] = [(0.0, 0.0)]  # (free from, ready from), a heap
        self._ends: list[float] = []
        self._course = SimulationResult()

    def run(self, duration_s: float) -> SimulationResult:
        """The result of `duration_s`, and of the time until the last request is answered."""
        upcoming, now = 0, 0.0
        while now < duration_s or self._waiting:
            now += LOOK_S
            first = upcoming
            while upcoming < len(self._arrivals) and self._arrivals[upcoming] < now:
                self._waiting.append(self._arrivals[upcoming])
                upcoming += 1
            self._serve(now)
            self._course.worker_s += LOOK_S * len(self._workers)
            self._scale(now, upcoming - first)
        return self._course

    def _serve(self, now: float) -> None:
        """Start everything that can start before `now`."""
        while self._waiting and self._workers:
            free_s, ready_s = self._workers[0]
            start = max(self._waiting[0], free_s)
            if start >= now:
                return
            arrived = self._waiting.popleft()
            end = start + self._service_s()
            heapq.heapreplace(self._workers, (end, ready_s))
            heapq.heappush(self._ends, end)
            self._course.latencies_s.append(end - arrived)

    def _service_s(self) -> float:
        sigma = self._world.service_cv
        return self._world.service_s * self._chance.lognormvariate(-sigma * sigma / 2, sigma)

    def _scale(self, now: float, n_arrived: int) -> None:
        sample = self._look(now, n_arrived)
        target = min(max(self._scaler.target(sample), 0), self._world.most)
        self._course.counts.append((now, target))
        for _ in range(target - len(self._workers)):
            ready_s = now + self._world.start_s
            heapq.heappush(self._workers, (ready_s, ready_s))
        for _ in range(len(self._workers) - target):
            free_s, _ = heapq.heappop(self._workers)  # the first to be free goes, when it is
            self._course.worker_s += max(free_s - now, 0.0)

    def _look(self, now: float, n_arrived: int) -> QueueSample:
        n_answered = 0
        while self._ends and self._ends[0] <= now:
            heapq.heappop(self._ends)
            n_answered += 1
        n_starting = sum(ready_s > now for _, ready_s in self._workers)
        n_ready = len(self._workers) - n_starting
        n_busy = sum(free_s > now >= ready_s for free_s, ready_s in self._workers)
        prefetched = min(len(self._waiting), max(n_ready * self._world.n_slots - n_busy, 0))
        return QueueSample(
            now,
            n_ready,
            n_starting,
            len(self._waiting) - prefetched,
            n_busy + prefetched,
            n_arrived,
            n_answered,
            self._mean_busy(n_answered, n_ready),
        )

    def _mean_busy(self, n_answered: int, n_ready: int) -> float:
        """The mean number of busy lanes since the last observation, exact to one request."""
        return min(n_answered * self._world.service_s / LOOK_S, float(max(n_ready, 1)))
