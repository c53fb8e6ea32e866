"""The number of sessions of a pool: the guide's six factors, with hysteresis and a reason for everything.

Sessions wanted = the larger of measured and forecast load over `up_above` of a session's lanes. One goes when
utilisation is below `down_below` and as many were not wanted in the whole window; what is left then holds the
load, so a constant load never flaps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from browser_runtime.scaling.rules import Observation, decide
from browser_runtime.scaling.values import Decision, Replica, ScalingMemory, ScalingPolicy


@dataclass(frozen=True, slots=True)
class SessionPolicy(ScalingPolicy):
    """The guide's thresholds on top of bounds and pace."""

    up_above: float = 0.7
    """More sessions above this utilisation."""
    down_below: float = 0.3
    """Fewer below this one."""


@dataclass(frozen=True, slots=True)
class PoolState:
    """Everything a decision on a pool looks at."""

    sessions: tuple[Replica, ...]
    """Those that are not draining, starting ones included."""
    load: float = 0.0
    """Busy lanes, averaged over the last seconds (forecast.MeanLoad)."""
    n_waiting: int = 0
    queue_slope_per_s: float = 0.0
    """Growth of the queue (trends.theil_sen_slope over its recent lengths)."""
    forecast_load: float | None = None
    """Busy lanes expected when a session started now would be ready (forecast.Arrivals)."""
    memory_percent: float = 0.0
    """System memory in use."""
    session_memory_percent: float | None = None
    """One session's part of it, as measured."""
    throughput_per_s: float | None = None
    """Requests answered a second, lately."""
    busy_models: frozenset[str] = frozenset()
    memory: ScalingMemory = field(default_factory=ScalingMemory)


def decide_sessions(state: PoolState, now: float, policy: SessionPolicy | None = None) -> Decision:
    """Returns the decision for this moment. Ask every few seconds, and hand `memory` on to the next state."""
    policy = policy or SessionPolicy()
    usable = [session for session in state.sessions if session.is_usable]
    n_lanes = sum(session.n_lanes for session in usable)
    utilisation = state.load / n_lanes if n_lanes else float(state.load > 0 or state.n_waiting > 0)
    wishes = _wishes(state, policy, len(usable), n_lanes)
    seen = Observation(
        state.sessions,
        state.memory,
        wanted=max(wishes.values()),
        reasons=tuple(reason for reason, n in wishes.items() if n > len(usable)),
        summary=f"utilisation {utilisation:.2f}",
        factors=_factors(state, utilisation, len(usable)),
        is_full=utilisation > policy.up_above and state.n_waiting > 0,
        may_shrink=utilisation < policy.down_below and not state.n_waiting,
        memory_percent=state.memory_percent,
        replica_memory_percent=state.session_memory_percent,
        throughput_per_s=state.throughput_per_s,
        busy_models=state.busy_models,
    )
    return decide(seen, now, policy)


def _wishes(state: PoolState, policy: SessionPolicy, n_usable: int, n_lanes: int) -> dict[str, int]:
    """Usable sessions wanted, by the reason."""
    lanes_each = n_lanes / n_usable if n_usable else 1.0
    per_session = policy.up_above * lanes_each
    forecast = state.forecast_load or 0.0
    is_growing = state.queue_slope_per_s > 0 and state.n_waiting > n_lanes
    return {
        f"load of {state.load:.2f} on {n_lanes} lanes": math.ceil(state.load / per_session),
        f"forecast load of {forecast:.2f}": math.ceil(forecast / per_session),
        f"queue of {state.n_waiting} grows by {state.queue_slope_per_s:.2f}/s": (n_usable + 1) * is_growing,
    }


def _factors(state: PoolState, utilisation: float, n_usable: int) -> dict[str, float | None]:
    """The guide's six."""
    return {
        "utilisation": utilisation,
        "queue_size": float(state.n_waiting),
        "model_patterns": state.forecast_load,
        "memory_pressure": state.memory_percent,
        "performance": state.throughput_per_s,
        "browser_health": n_usable / len(state.sessions) if state.sessions else None,
    }
