"""How many sessions a pool should have: the guide's six factors, with hysteresis and a reason for everything.

Sessions wanted = the larger of measured and forecast load over `up_above` of a session's lanes. More are
started when more are wanted than there are, starting ones included. One goes when utilisation is below
`down_below` and as many were not wanted in the whole window; what is left then holds the load, so a constant
load never flaps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from browser_runtime.deciders.draining import choose_drain
from browser_runtime.deciders.scaling_values import (
    Crew,
    Decision,
    Growth,
    ScalingMemory,
    ScalingPolicy,
    ScalingState,
)


@dataclass(frozen=True, slots=True)
class _Look(Crew):
    """One look at the pool, with what follows from it at once."""

    state: ScalingState
    policy: ScalingPolicy
    utilisation: float
    """Of the usable lanes, starting ones included."""
    wanted: int
    """Usable sessions wanted."""
    why: tuple[str, ...]

    @property
    def is_full(self) -> bool:
        """Whether throughput tells what the sessions can do, not what was asked of them."""
        return self.utilisation > self.policy.up_above and self.state.n_waiting > 0


@dataclass(frozen=True, slots=True)
class _Verdict:
    target: int
    reasons: tuple[str, ...]
    drain: tuple[str, ...] = ()


def decide_scale(state: ScalingState, now: float, policy: ScalingPolicy | None = None) -> Decision:
    """The decision for this moment. Ask every few seconds, and hand `memory` on to the next state."""
    look = _look(state, now, policy or ScalingPolicy())
    verdict = next(found for rule in RULES if (found := rule(look)) is not None)
    return Decision(
        now, look.n, verdict.target, verdict.reasons, _factors(look), _remember(look, verdict), verdict.drain
    )


def _look(state: ScalingState, now: float, policy: ScalingPolicy) -> _Look:
    usable = [session for session in state.sessions if session.is_usable]
    n_lanes = sum(session.n_lanes for session in usable)
    utilisation = state.load / n_lanes if n_lanes else float(state.load > 0 or state.n_waiting > 0)
    wanted, why = _count_wanted(state, policy, len(usable), n_lanes)
    memory = state.memory.after_wish(now, min(wanted, policy.max_sessions), policy)
    return _Look(state.sessions, memory, now, policy.cool_down_s, state, policy, utilisation, wanted, why)


def _count_wanted(
    state: ScalingState, policy: ScalingPolicy, n_usable: int, n_lanes: int
) -> tuple[int, tuple[str, ...]]:
    """Usable sessions wanted, and what wants more than there are."""
    lanes_each = n_lanes / n_usable if n_usable else 1.0
    per_session = policy.up_above * lanes_each
    forecast = state.forecast_load or 0.0
    is_growing = state.queue_slope_per_s > 0 and state.n_waiting > n_lanes
    wishes = {
        f"load of {state.load:.2f} on {n_lanes} lanes": math.ceil(state.load / per_session),
        f"forecast load of {forecast:.2f}": math.ceil(forecast / per_session),
        f"queue of {state.n_waiting} grows by {state.queue_slope_per_s:.2f}/s": (n_usable + 1) * is_growing,
    }
    return max(wishes.values()), tuple(why for why, n in wishes.items() if n > n_usable)


def _keep_limits(look: _Look) -> _Verdict | None:
    """The bounds hold at once, whatever the cool-down says; memory only lets the first session through."""
    policy, n = look.policy, look.n
    if n > policy.max_sessions:
        name = choose_drain(look.state.sessions, look.state.busy_models, force=True)
        return _Verdict(n - 1, (f"more than {policy.max_sessions} sessions",), (str(name),))
    if n < policy.min_sessions:
        room = max(_room(look), 1 - n)
        target = min(policy.min_sessions, n + room)
        return _Verdict(target, (f"fewer than {policy.min_sessions} sessions",)) if room > 0 else None
    return None


def _shed_memory(look: _Look) -> _Verdict | None:
    """One session goes under memory pressure; only where its size is known, so that none starts again."""
    state, policy = look.state, look.policy
    is_tight = state.memory_percent > policy.shed_percent and state.session_memory_percent is not None
    if not is_tight or look.n <= policy.min_sessions or look.cools_for_s:
        return None
    name = choose_drain(state.sessions, state.busy_models)
    if name is None:
        return None
    return _Verdict(look.n - 1, (f"system memory at {state.memory_percent:.0f} %",), (name,))


def _grow(look: _Look) -> _Verdict | None:
    """More sessions, or why not although they are wanted."""
    if look.wanted <= look.n_usable:
        return None
    if obstacle := _find_obstacle(look):
        return _Verdict(look.n, (*look.why, obstacle))
    missing = look.wanted - look.n_usable
    most = math.floor(look.n * look.policy.max_growth)
    target = min(look.n + missing, most, look.n + _room(look), look.policy.max_sessions)
    return _Verdict(target, look.why)


def _find_obstacle(look: _Look) -> str:
    if look.n >= look.policy.max_sessions:
        return f"not more than {look.policy.max_sessions} sessions"
    if _room(look) <= 0:
        return (
            f"system memory at {look.state.memory_percent:.0f} % (limit {look.policy.memory_percent:.0f} %)"
        )
    if look.cools_for_s:
        return f"changed less than {look.policy.cool_down_s:.0f} s ago"
    return _find_lack_of_gain(look)


def _find_lack_of_gain(look: _Look) -> str:
    """Where the machine itself is full, further sessions only share it."""
    growth, throughput, policy = look.memory.growth, look.state.throughput_per_s, look.policy
    if growth is None or throughput is None or not look.is_full:
        return ""
    is_old = look.now - growth.at_s > policy.gain_memory_s
    if is_old or look.n <= growth.n_before or throughput >= growth.throughput_per_s * (1 + policy.min_gain):
        return ""
    return (
        f"{look.n} sessions answer {throughput:.2f}/s, {growth.n_before} answered "
        f"{growth.throughput_per_s:.2f}/s: the machine is the limit"
    )


def _room(look: _Look) -> int:
    policy, state = look.policy, look.state
    return look.room(
        state.memory_percent, policy.memory_percent, state.session_memory_percent, policy.max_sessions
    )


def _shrink(look: _Look) -> _Verdict | None:
    state, policy = look.state, look.policy
    is_low = look.utilisation < policy.down_below and not state.n_waiting and not look.n_starting
    n_held = look.memory.held(look.n, look.now, policy)
    is_spare = n_held < look.n_usable and look.n > policy.min_sessions
    if not (is_low and is_spare) or look.cools_for_s:
        return None
    name = choose_drain(state.sessions, state.busy_models)
    if name is None:
        return _Verdict(look.n, ("every session is the only warm holder of a busy model",))
    window_s = look.memory.window_s(n_held + 1, policy)
    why = f"utilisation {look.utilisation:.2f}, and in {window_s:.0f} s at most "
    return _Verdict(look.n - 1, (f"{why}{n_held} sessions were wanted",), (name,))


def _stay(look: _Look) -> _Verdict:
    return _Verdict(look.n, (f"utilisation {look.utilisation:.2f}",))


# The first that has something to say decides.
RULES: tuple[Callable[[_Look], _Verdict | None], ...] = (_keep_limits, _shed_memory, _grow, _shrink, _stay)


def _remember(look: _Look, verdict: _Verdict) -> ScalingMemory:
    if verdict.target == look.n:
        return look.memory
    if verdict.target < look.n:
        return look.memory.after_shrink(look.now, look.n, verdict.target)
    throughput = look.state.throughput_per_s
    is_telling = look.is_full and throughput is not None
    growth = Growth(look.now, look.n, throughput or 0.0) if is_telling else None
    return look.memory.after_growth(look.now, look.n, verdict.target, growth, look.policy)


def _factors(look: _Look) -> dict[str, float | None]:
    """The guide's six."""
    state = look.state
    return {
        "utilisation": look.utilisation,
        "queue_size": float(state.n_waiting),
        "model_patterns": state.forecast_load,
        "memory_pressure": state.memory_percent,
        "performance": state.throughput_per_s,
        "browser_health": look.n_usable / look.n if look.n else None,
    }
