"""Inputs of the decision on a queue's workers: plain values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from browser_runtime.scaling.values import Replica, ScalingMemory, ScalingPolicy


@dataclass(frozen=True, slots=True)
class WorkerPolicy(ScalingPolicy):
    """The targets, and how fast workers may be started and stopped."""

    noun: str = "workers"
    max_replicas: int = 4
    max_growth: float = math.inf
    max_shrink: int | None = None
    memory_percent: float = 85.0
    shed_percent: float = 95.0
    cool_down_s: float = 5.0
    """Short, since starting workers count as present."""
    down_window_s: float = 60.0
    latency_target_s: float = 1.0
    """The longest time a request should wait before it is computed ..."""
    late: float = 0.1
    """... except this share of them."""
    clear_s: float = 15.0
    """The time in which to clear a backlog that would outlast a worker's start."""


@dataclass(frozen=True, slots=True)
class QueueView:
    """Everything that a decision depends on."""

    queue: str
    workers: tuple[Replica, ...]
    """Workers that are not stopping, including starting ones."""
    depth: int = 0
    """Messages in Redis that no worker has taken."""
    in_flight: int = 0
    """Messages taken but not acknowledged: being computed, prefetched, or held by a dead worker."""
    arrivals_per_s: float = 0.0
    forecast_per_s: float = 0.0
    """Arrivals expected when a worker that is started now would be ready."""
    answered_per_s: float | None = None
    service_s: float | None = None
    """Measured seconds of a lane's time per request; None before any measurement."""
    start_s: float = 10.0
    """Measured seconds from starting a worker until it takes messages."""
    memory_percent: float = 0.0
    worker_memory_percent: float | None = None
    """Measured share of the system's memory that one worker takes."""
    busy_models: frozenset[str] = frozenset()
    memory: ScalingMemory = field(default_factory=ScalingMemory)
