"""What the decision on a queue's workers is made from: plain values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from browser_runtime.scaling.values import Replica, ScalingMemory, ScalingPolicy


@dataclass(frozen=True, slots=True)
class WorkerPolicy(ScalingPolicy):
    """What is aimed at, and how fast workers may come and go."""

    noun: str = "workers"
    max_replicas: int = 4
    max_growth: float = math.inf
    max_shrink: int | None = None
    memory_percent: float = 85.0
    shed_percent: float = 95.0
    cool_down_s: float = 5.0
    """Short, since workers that start count as there meanwhile."""
    down_window_s: float = 60.0
    latency_target_s: float = 1.0
    """A request should not wait longer than this before it is computed ..."""
    late: float = 0.1
    """... but for this share of them, were service times as uneven as the formula has them."""
    clear_s: float = 15.0
    """A backlog that would outlast a worker's start is to be gone after this long."""


@dataclass(frozen=True, slots=True)
class QueueView:
    """Everything a decision looks at."""

    queue: str
    workers: tuple[Replica, ...]
    """Those that are not stopping; the starting ones too."""
    depth: int = 0
    """Messages in Redis that no worker has taken."""
    in_flight: int = 0
    """Messages that a worker has taken and not acknowledged: computed now, prefetched, or a dead worker's."""
    arrivals_per_s: float = 0.0
    forecast_per_s: float = 0.0
    """Arrivals expected when a worker that is started now would be ready."""
    answered_per_s: float | None = None
    service_s: float | None = None
    """Seconds of a lane's time a request takes, as measured; None where nothing was."""
    start_s: float = 10.0
    """From a worker's start until it consumes, as measured."""
    memory_percent: float = 0.0
    worker_memory_percent: float | None = None
    """What one worker takes of the system's memory, as measured."""
    busy_models: frozenset[str] = frozenset()
    memory: ScalingMemory = field(default_factory=ScalingMemory)
