"""How many workers a queue should have: what its arrivals need, what its backlog needs, and a reason. Pure.

Wanted = the larger of two wishes. Of the arrivals, now and when a new worker would be ready: the fewest
workers that keep waits within the latency target (Erlang C). Of the backlog: enough to clear what would still
wait when a new worker is ready. More start when more are wanted than there are, starting ones included. Some
go when as many were not wanted in a whole window, which every regret doubles.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile

from browser_runtime.deciders.draining import choose_drain
from browser_runtime.deciders.scaling_values import Crew, Growth
from scheduler.autoscaling.queueing import count_servers
from scheduler.autoscaling.values import Decision, QueueView, ScalingMemory, WorkerPolicy


@dataclass(frozen=True, slots=True)
class _Look(Crew):
    """One look at a queue, with what follows from it at once."""

    view: QueueView
    policy: WorkerPolicy
    wanted: int
    """Usable workers wanted, within no bounds yet."""
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Verdict:
    target: int
    reasons: tuple[str, ...]
    stop: tuple[str, ...] = ()


def decide_workers(view: QueueView, now: float, policy: WorkerPolicy | None = None) -> Decision:
    """The decision for this moment (`now` in monotonic seconds). Hand `memory` on to the next view."""
    look = _look(view, now, policy or WorkerPolicy())
    verdict = next(found for rule in RULES if (found := rule(look)) is not None)
    memory = _remember(look, verdict)
    return Decision(view.queue, look.n, verdict.target, verdict.reasons, _factors(look), memory, verdict.stop)


def _look(view: QueueView, now: float, policy: WorkerPolicy) -> _Look:
    wishes = _wishes(view, policy)
    wanted = max(wishes.values())
    n_usable = sum(worker.is_usable for worker in view.workers)
    why = tuple(reason for reason, n in wishes.items() if n > n_usable)
    memory = view.memory.after_wish(now, min(wanted, policy.max_workers), policy.pace)
    return _Look(view.workers, memory, now, policy.cool_down_s, view, policy, wanted, why)


def _wishes(view: QueueView, policy: WorkerPolicy) -> dict[str, int]:
    """Workers wanted, by the reason."""
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
    """While nothing was measured: one, and one more where those there are have taken all they can hold."""
    n_usable = sum(worker.is_usable for worker in view.workers)
    if not waiting or n_usable == 0:
        return min(waiting, 1)
    is_starting = any(worker.is_starting for worker in view.workers)
    return n_usable + (view.depth > 0 and not is_starting)


def count_waiting(view: QueueView) -> int:
    """Requests that no lane computes: in the queue, prefetched, or a dead worker's."""
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
    """Workers that clear what would still wait, too long, when a worker started now is ready."""
    service_s, lanes_each = view.service_s or 0.0, _lanes_each(view)
    n_usable = sum(worker.is_usable for worker in view.workers)
    capacity_per_s = n_usable * lanes_each / service_s
    spare_per_s = capacity_per_s - view.arrivals_per_s
    left = max(waiting - spare_per_s * view.start_s, 0.0)
    if waiting == 0 or left <= spare_per_s * policy.clear_s:
        return 0  # it goes away by itself
    needed_per_s = view.arrivals_per_s + left / policy.clear_s
    return math.ceil(needed_per_s * service_s / lanes_each)


def _keep_limits(look: _Look) -> _Verdict | None:
    """The bounds hold at once, whatever the cool-down says; memory only lets the first worker through."""
    policy, n = look.policy, look.n
    if n > policy.max_workers:
        stop = _choose_stops(look, n - policy.max_workers, force=True)
        return _Verdict(n - len(stop), (f"more than {policy.max_workers} workers",), stop)
    if n < policy.min_workers:
        room = max(_room(look), 1 - n)
        target = min(policy.min_workers, n + room)
        return _Verdict(target, (f"fewer than {policy.min_workers} workers",)) if room > 0 else None
    return None


def _shed_memory(look: _Look) -> _Verdict | None:
    """One worker goes under memory pressure: a browser killed by the system is worse."""
    is_tight = look.view.memory_percent > look.policy.shed_percent
    if not is_tight or look.n <= max(look.policy.min_workers, 1) or look.cools_for_s:
        return None
    stop = _choose_stops(look, 1)
    reasons = (f"system memory at {look.view.memory_percent:.0f} %",)
    return _Verdict(look.n - 1, reasons, stop) if stop else None


def _grow(look: _Look) -> _Verdict | None:
    """More workers, or why not although they are wanted."""
    if look.wanted <= look.n_usable:
        return None
    if obstacle := _find_obstacle(look):
        return _Verdict(look.n, (*look.why, obstacle))
    missing = look.wanted - look.n_usable
    target = min(look.n + missing, look.n + _room(look), look.policy.max_workers)
    return _Verdict(target, look.why)


def _find_obstacle(look: _Look) -> str:
    if look.n >= look.policy.max_workers:
        return f"not more than {look.policy.max_workers} workers"
    if _room(look) <= 0:
        used, limit = look.view.memory_percent, look.policy.memory_percent
        return f"system memory at {used:.0f} % (limit {limit:.0f} %)"
    if look.cools_for_s and look.n_usable:
        return f"changed less than {look.policy.cool_down_s:.0f} s ago"
    return _find_lack_of_gain(look)


def _find_lack_of_gain(look: _Look) -> str:
    """Where the machine itself is full, further workers only share it."""
    growth, answered, policy = look.memory.growth, look.view.answered_per_s, look.policy
    if growth is None or answered is None or look.now - growth.at_s > policy.gain_memory_s:
        return ""
    if look.n <= growth.n_before or answered >= growth.throughput_per_s * (1 + policy.min_gain):
        return ""
    if look.n_starting:
        return f"{look.n_starting} workers start, and are waited for"
    return (
        f"{look.n} workers answer {answered:.2f}/s, {growth.n_before} answered "
        f"{growth.throughput_per_s:.2f}/s: the machine is the limit"
    )


def _room(look: _Look) -> int:
    policy, view = look.policy, look.view
    return look.room(
        view.memory_percent, policy.memory_percent, view.worker_memory_percent, policy.max_workers
    )


def _shrink(look: _Look) -> _Verdict | None:
    pace = look.policy.pace
    n_held = look.memory.held(look.n, look.now, pace)
    n_left = max(n_held, look.policy.min_workers)
    n_over = look.n_usable - n_left if look.n_usable > n_left else look.n - max(n_left, look.n_usable)
    if look.n_starting or n_over <= 0 or look.cools_for_s:
        return None
    stop = _choose_stops(look, n_over)
    if not stop:
        return _Verdict(look.n, ("every worker is the only warm holder of a busy model",))
    window_s = look.memory.window_s(n_held + 1, pace)
    why = f"in {window_s:.0f} s at most {n_held} workers were wanted"
    return _Verdict(look.n - len(stop), (why,), stop)


def _choose_stops(look: _Look, n: int, *, force: bool = False) -> tuple[str, ...]:
    """Up to `n` workers to stop, one after the other, each time as if those before were gone."""
    left = list(look.view.workers)

    def choose() -> str:
        name = choose_drain(left, look.view.busy_models, force) or ""
        left[:] = [worker for worker in left if worker.name != name]
        return name

    return tuple(takewhile(bool, (choose() for _ in range(n))))


def _stay(look: _Look) -> _Verdict:
    return _Verdict(look.n, (f"{look.wanted} wanted",))


# The first that has something to say decides.
RULES: tuple[Callable[[_Look], _Verdict | None], ...] = (_keep_limits, _shed_memory, _grow, _shrink, _stay)


def _remember(look: _Look, verdict: _Verdict) -> ScalingMemory:
    if verdict.target == look.n:
        return look.memory
    if verdict.target < look.n:
        return look.memory.after_shrink(look.now, look.n, verdict.target)
    answered = look.view.answered_per_s
    is_full = count_waiting(look.view) > look.n * _lanes_each(look.view)
    is_telling = answered is not None and is_full and look.n_usable > 0
    growth = Growth(look.now, look.n, answered or 0.0) if is_telling else None
    return look.memory.after_growth(look.now, look.n, verdict.target, growth, look.policy.pace)


def _factors(look: _Look) -> dict[str, float | None]:
    """What was looked at."""
    view = look.view
    return {
        "depth": float(view.depth),
        "in_flight": float(view.in_flight),
        "waiting": float(count_waiting(view)),
        "arrivals_per_s": view.arrivals_per_s,
        "forecast_per_s": view.forecast_per_s,
        "service_s": view.service_s,
        "memory_percent": view.memory_percent,
        "health": look.n_usable / look.n if look.n else None,
        "starting": float(look.n_starting),
        "wanted": float(look.wanted),
    }
