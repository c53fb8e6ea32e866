"""The number of workers that a queue should have, with the reasons. Pure.

It is the larger of two demands. Arrivals, now and when a new worker would be ready: the fewest workers that
keep waits within the latency target (Erlang C). Backlog: enough workers to clear what would still wait when a
new worker is ready. `browser_runtime.scaling.rules` turns the number into a decision.
"""

from __future__ import annotations

import math

from browser_runtime.scaling.rules import Observation, decide
from browser_runtime.scaling.values import Decision
from scheduler.autoscaling.queueing import count_servers
from scheduler.autoscaling.values import QueueView, WorkerPolicy


def decide_workers(view: QueueView, now: float, policy: WorkerPolicy | None = None) -> Decision:
    """The decision at `now` (monotonic seconds). Pass its `memory` to the next view."""
    policy = policy or WorkerPolicy()
    demands = _demands(view, policy)
    n_usable = _count_usable(view)
    wanted = max(demands.values())
    seen = Observation(
        view.workers,
        view.memory,
        wanted=wanted,
        reasons=tuple(reason for reason, n in demands.items() if n > n_usable),
        summary=f"{wanted} wanted",
        factors=_factors(view, wanted, n_usable),
        is_full=n_usable > 0 and count_waiting(view) > len(view.workers) * _lanes_each(view),
        memory_percent=view.memory_percent,
        replica_memory_percent=view.worker_memory_percent,
        throughput_per_s=view.answered_per_s,
        busy_models=view.busy_models,
    )
    return decide(seen, now, policy)


def _count_usable(view: QueueView) -> int:
    return sum(worker.is_usable for worker in view.workers)


def _demands(view: QueueView, policy: WorkerPolicy) -> dict[str, int]:
    """The number of workers wanted, by reason."""
    rate = max(view.arrivals_per_s, view.forecast_per_s, view.answered_per_s or 0.0)
    waiting = count_waiting(view)
    if view.service_s is None:
        return {f"{waiting} wait, and how long one takes is not known yet": _workers_to_learn(view, waiting)}
    arriving = f"{rate:.2f} arrivals/s of {1000 * view.service_s:.0f} ms"
    return {
        arriving: _workers_for_rate(view, policy, rate),
        f"{waiting} waiting": _workers_for_backlog(view, policy, waiting),
    }


def _workers_to_learn(view: QueueView, waiting: int) -> int:
    """The workers to start before anything is measured: one, and one more once those are full."""
    n_usable = _count_usable(view)
    if not waiting or n_usable == 0:
        return min(waiting, 1)
    is_starting = any(worker.is_starting for worker in view.workers)
    return n_usable + (view.depth > 0 and not is_starting)


def count_waiting(view: QueueView) -> int:
    """Requests that no lane is computing: in the queue, prefetched, or held by a dead worker."""
    n_busy = sum(worker.n_busy for worker in view.workers)
    return view.depth + max(view.in_flight - n_busy, 0)


def _lanes_each(view: QueueView) -> float:
    ready = [worker.n_lanes for worker in view.workers if not worker.is_starting]
    return sum(ready) / len(ready) if ready else 1.0


def _workers_for_rate(view: QueueView, policy: WorkerPolicy, rate: float) -> int:
    service_s = view.service_s or 0.0
    lanes = count_servers(rate * service_s, service_s, policy.latency_target_s, policy.late)
    return math.ceil(lanes / _lanes_each(view))


def _workers_for_backlog(view: QueueView, policy: WorkerPolicy, waiting: int) -> int:
    """The workers needed to clear the backlog that remains when a worker started now is ready."""
    service_s, lanes_each = view.service_s or 0.0, _lanes_each(view)
    n_usable = _count_usable(view)
    capacity_per_s = n_usable * lanes_each / service_s
    spare_per_s = capacity_per_s - view.arrivals_per_s
    left = max(waiting - spare_per_s * view.start_s, 0.0)
    if waiting == 0 or left <= spare_per_s * policy.clear_s:
        return 0  # the present workers clear it
    needed_per_s = view.arrivals_per_s + left / policy.clear_s
    return math.ceil(needed_per_s * service_s / lanes_each)


def _factors(view: QueueView, wanted: int, n_usable: int) -> dict[str, float | None]:
    """The inputs of the decision, for pages and the history."""
    return {
        "depth": float(view.depth),
        "in_flight": float(view.in_flight),
        "waiting": float(count_waiting(view)),
        "arrivals_per_s": view.arrivals_per_s,
        "forecast_per_s": view.forecast_per_s,
        "service_s": view.service_s,
        "memory_percent": view.memory_percent,
        "health": n_usable / len(view.workers) if view.workers else None,
        "starting": float(sum(worker.is_starting for worker in view.workers)),
        "wanted": float(wanted),
    }
