"""The autoscalers that are compared: webinfer's, a threshold rule, and KEDA's formula."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, replace

from browser_runtime.scaling.values import Replica, ScalingMemory
from scheduler.autoscaling.estimates import QueueEstimates
from scheduler.autoscaling.policy import decide_workers
from scheduler.autoscaling.values import QueueView, WorkerPolicy
from webinfer.bench.autoscaling.simulation import QueueSample, SimulatedQueue


@dataclass
class OurScaler:
    """Webinfer's own decision and estimates, fed with simulated signals."""

    simulated: SimulatedQueue
    policy: WorkerPolicy = field(default_factory=WorkerPolicy)
    estimates: QueueEstimates = field(default_factory=QueueEstimates)
    memory: ScalingMemory = field(default_factory=ScalingMemory)

    def target(self, sample: QueueSample) -> int:
        """Workers wanted."""
        self.estimates.note(sample.now, sample.n_arrived, sample.n_answered, sample.mean_busy)
        policy = replace(self.policy, max_replicas=self.simulated.most)
        decision = decide_workers(self._view(sample), sample.now, policy)
        self.memory = decision.memory
        return decision.target

    def _view(self, sample: QueueSample) -> QueueView:
        ready = [
            Replica(f"ready-{n}", n_busy=int(n < min(sample.in_flight, sample.n_ready)))
            for n in range(sample.n_ready)
        ]
        starting = [Replica(f"starting-{n}", is_starting=True) for n in range(sample.n_starting)]
        return QueueView(
            "simulated",
            (*ready, *starting),
            sample.listed,
            sample.in_flight,
            self.estimates.arrivals_per_s(),
            self.estimates.arrivals_per_s(self.simulated.start_s),
            self.estimates.answered_per_s,
            self.estimates.service_s,
            self.simulated.start_s,
            memory=self.memory,
        )


@dataclass
class ThresholdScaler:
    """One more when more than `up_above` wait for each worker, one fewer when few lanes are busy."""

    up_above: float = 2.0
    down_below: float = 0.3
    cool_down_s: float = 30.0
    _changed_s: float = -math.inf

    def target(self, sample: QueueSample) -> int:
        """Workers wanted."""
        n = sample.n_workers
        if sample.now - self._changed_s < self.cool_down_s:
            return n
        waiting = sample.listed + max(sample.in_flight - sample.n_ready, 0)
        is_low = n > 1 and sample.mean_busy / n < self.down_below
        change = 1 if waiting > self.up_above * n else -int(is_low)
        if change:
            self._changed_s = sample.now
        return n + change


@dataclass
class KedaScaler:
    """KEDA's redis-lists scaler driving a HorizontalPodAutoscaler.

    Desired = ceil(list length / target); evaluated every 15 s; within 10 % nothing changes; up at most to the
    double or by four; down to the highest wish of the stabilization window. Sources: KEDA's redis-lists
    scaler; Kubernetes, "Horizontal Pod Autoscaling", algorithm details and default behaviour.
    """

    list_length: float = 5.0
    stabilization_s: float = 300.0
    sees_unacked: bool = False
    """As it would be with a metric of its own in the place of the list's length."""
    _recent: deque[tuple[float, int]] = field(default_factory=deque)
    _looked_s: float = -math.inf

    def target(self, sample: QueueSample) -> int:
        """Workers wanted."""
        n = sample.n_workers
        if sample.now - self._looked_s < 15:
            return n
        self._looked_s = sample.now
        length = sample.listed + (sample.in_flight if self.sees_unacked else 0)
        wish = max(math.ceil(length / self.list_length), 1)
        if n and abs(length / (self.list_length * n) - 1) <= 0.1:
            wish = n
        self._recent.append((sample.now, wish))
        while self._recent[0][0] < sample.now - self.stabilization_s:
            self._recent.popleft()
        if wish > n:
            return min(wish, max(2 * n, n + 4))
        return min(n, max(most for _, most in self._recent))
