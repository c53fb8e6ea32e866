"""What the decision is held against: ours in the simulation, a threshold rule, and KEDA's formula."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, replace

from scheduler.autoscaling.deciding import decide_workers
from scheduler.autoscaling.estimates import QueueEstimates
from scheduler.autoscaling.simulation import Sight, World
from scheduler.autoscaling.values import QueueView, ScalingMemory, WorkerPolicy, WorkerView


@dataclass
class OurScaler:
    """The real decision with the real estimates, told only what the signals tell."""

    world: World
    policy: WorkerPolicy = field(default_factory=WorkerPolicy)
    estimates: QueueEstimates = field(default_factory=QueueEstimates)
    memory: ScalingMemory = field(default_factory=ScalingMemory)

    def target(self, sight: Sight) -> int:
        """Workers wanted."""
        self.estimates.note(sight.now, sight.n_arrived, sight.n_answered, sight.mean_busy)
        policy = replace(self.policy, max_workers=self.world.most)
        decision = decide_workers(self._view(sight), sight.now, policy)
        self.memory = decision.memory
        return decision.target

    def _view(self, sight: Sight) -> QueueView:
        ready = [
            WorkerView(f"ready-{n}", n_busy=int(n < min(sight.in_flight, sight.n_ready)))
            for n in range(sight.n_ready)
        ]
        starting = [WorkerView(f"starting-{n}", is_starting=True) for n in range(sight.n_starting)]
        return QueueView(
            "simulated",
            (*ready, *starting),
            sight.listed,
            sight.in_flight,
            self.estimates.arrivals_per_s(),
            self.estimates.arrivals_per_s(self.world.start_s),
            self.estimates.answered_per_s,
            self.estimates.service_s,
            self.world.start_s,
            memory=self.memory,
        )


@dataclass
class ThresholdScaler:
    """One more when more than `up_above` wait for each worker, one fewer when few lanes are busy."""

    up_above: float = 2.0
    down_below: float = 0.3
    cool_down_s: float = 30.0
    _changed_s: float = -math.inf

    def target(self, sight: Sight) -> int:
        """Workers wanted."""
        n = sight.n_workers
        if sight.now - self._changed_s < self.cool_down_s:
            return n
        waiting = sight.listed + max(sight.in_flight - sight.n_ready, 0)
        is_low = n > 1 and sight.mean_busy / n < self.down_below
        change = 1 if waiting > self.up_above * n else -int(is_low)
        if change:
            self._changed_s = sight.now
        return n + change


@dataclass
class KedaScaler:
    """KEDA's redis-lists scaler driving a HorizontalPodAutoscaler.

    Desired = ceil(list length / target); looked at every 15 s; within 10 % nothing changes; up at most to the
    double or by four; down to the highest wish of the stabilization window. Sources: KEDA's redis-lists
    scaler; Kubernetes, "Horizontal Pod Autoscaling", algorithm details and default behaviour.
    """

    list_length: float = 5.0
    stabilization_s: float = 300.0
    sees_unacked: bool = False
    """As it would be with a metric of its own in the place of the list's length."""
    _wishes: deque[tuple[float, int]] = field(default_factory=deque)
    _looked_s: float = -math.inf

    def target(self, sight: Sight) -> int:
        """Workers wanted."""
        n = sight.n_workers
        if sight.now - self._looked_s < 15:
            return n
        self._looked_s = sight.now
        length = sight.listed + (sight.in_flight if self.sees_unacked else 0)
        wish = max(math.ceil(length / self.list_length), 1)
        if n and abs(length / (self.list_length * n) - 1) <= 0.1:
            wish = n
        self._wishes.append((sight.now, wish))
        while self._wishes[0][0] < sight.now - self.stabilization_s:
            self._wishes.popleft()
        if wish > n:
            return min(wish, max(2 * n, n + 4))
        return min(n, max(most for _, most in self._wishes))
