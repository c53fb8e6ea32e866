"""What the decision on a queue's workers is made from and what comes out: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from browser_runtime.deciders.scaling_values import ScalingMemory, ScalingPolicy
from browser_runtime.deciders.scaling_values import SessionView as WorkerView

__all__ = ["Decision", "QueueView", "ScalingMemory", "WorkerPolicy", "WorkerView"]


@dataclass(frozen=True, slots=True)
class WorkerPolicy:
    """What is aimed at, and how fast workers may come and go."""

    min_workers: int = 1
    max_workers: int = 4
    latency_target_s: float = 1.0
    """A request should not wait longer than this before it is computed ..."""
    late: float = 0.1
    """... but for this share of them, were service times as uneven as the formula has them."""
    clear_s: float = 15.0
    """A backlog that would outlast a worker's start is to be gone after this long."""
    cool_down_s: float = 5.0
    """Between two changes; short, since workers that start count as there meanwhile."""
    down_window_s: float = 60.0
    """A worker goes only when at no time in this window it was wanted; one wanted back soon doubles it."""
    max_regrets: int = 3
    memory_percent: float = 85.0
    """No worker is added where system memory is, or would be, above this."""
    shed_percent: float = 95.0
    """A worker goes where system memory is above this."""
    min_gain: float = 0.1
    """The share by which a growth under a backlog must have raised throughput to be followed by another."""
    gain_memory_s: float = 300.0
    """For so long a growth that gained nothing holds the next one back."""

    @property
    def pace(self) -> ScalingPolicy:
        """The same windows, for the memory of wishes."""
        return ScalingPolicy(down_window_s=self.down_window_s, max_regrets=self.max_regrets)


@dataclass(frozen=True, slots=True)
class QueueView:
    """Everything a decision looks at."""

    queue: str
    workers: tuple[WorkerView, ...]
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


@dataclass(frozen=True, slots=True)
class Decision:
    """How many workers a queue should have, and why."""

    queue: str
    n_workers: int
    target: int
    reasons: tuple[str, ...]
    factors: Mapping[str, float | None]
    memory: ScalingMemory
    """For the next look's view."""
    stop: tuple[str, ...] = ()
    """The workers to stop, so that a warm holder of every busy model stays."""

    @property
    def change(self) -> int:
        """Workers to start, or to stop where negative."""
        return self.target - self.n_workers

    def to_wire(self, at: float, dry_run: bool) -> dict[str, Any]:
        """Plain values for Redis; `at` in Unix seconds."""
        return {
            "n": self.target,
            "from": self.n_workers,
            "stop": list(self.stop),
            "reason": "; ".join(self.reasons),
            "factors": dict(self.factors),
            "at": at,
            "dry_run": dry_run,
        }
