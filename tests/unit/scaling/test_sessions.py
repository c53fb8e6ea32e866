"""Scaling decisions: bounds, memory, cool-down, reasons, whatever the pool looks like."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.scaling.drain import sole_models
from browser_runtime.scaling.sessions import PoolState, SessionPolicy, decide_sessions
from browser_runtime.scaling.values import (
    GrowthRecord,
    Replica,
    ScalingMemory,
    ScalingPolicy,
)
from tests.unit.scaling.test_drain import model_sets, pools

NOW = 1000.0
POLICY = SessionPolicy()
memories = st.builds(
    ScalingMemory,
    since_s=st.floats(0, NOW),
    last_change_s=st.floats(0, NOW),
    wishes=st.lists(st.tuples(st.floats(880, NOW), st.integers(0, 8)), max_size=3).map(tuple),
    growth=st.none() | st.builds(GrowthRecord, st.floats(0, NOW), st.integers(0, 8), st.floats(0, 100)),
)
states = st.builds(
    PoolState,
    sessions=pools.map(tuple),
    load=st.floats(0, 24),
    n_waiting=st.integers(0, 100),
    queue_slope_per_s=st.floats(-10, 10),
    forecast_load=st.none() | st.floats(0, 24),
    memory_percent=st.floats(0, 100),
    session_memory_percent=st.none() | st.floats(0.5, 50),
    throughput_per_s=st.none() | st.floats(0, 100),
    busy_models=model_sets,
    memory=memories,
)


def pool(n: int, n_starting: int = 0) -> tuple[Replica, ...]:
    return tuple(Replica(f"s{k}", is_starting=k < n_starting) for k in range(n))


@given(states)
def test_the_target_stays_within_bounds(state: PoolState) -> None:
    decision = decide_sessions(state, NOW)
    n = len(state.sessions)
    assert decision.target <= max(POLICY.max_replicas, n)
    assert decision.target >= min(POLICY.min_replicas, n)
    assert decision.target <= max(2 * n, POLICY.min_replicas)
    assert decision.target >= n - 1


@given(states)
def test_nothing_starts_above_the_memory_limit_but_the_first_session(state: PoolState) -> None:
    decision = decide_sessions(state, NOW)
    if state.memory_percent > POLICY.memory_percent and state.sessions:
        assert decision.change <= 0
    if decision.change > 0 and state.session_memory_percent and len(state.sessions) >= POLICY.min_replicas:
        n_new = decision.change + sum(s.is_starting for s in state.sessions)
        assert state.memory_percent + n_new * state.session_memory_percent <= POLICY.memory_percent + 1e-6


@given(states)
def test_between_changes_it_cools_down_unless_nothing_is_usable(state: PoolState) -> None:
    decision = decide_sessions(state, NOW)
    cools = NOW - state.memory.last_change_s < POLICY.cool_down_s
    if cools and decision.change and any(session.is_usable for session in state.sessions):
        assert not POLICY.min_replicas <= len(state.sessions) <= POLICY.max_replicas
    assert (decision.memory.last_change_s == NOW) or not decision.change


@given(states)
def test_it_grows_only_for_load_or_queue(state: PoolState) -> None:
    decision = decide_sessions(state, NOW)
    usable = [s for s in state.sessions if s.is_usable]
    n_lanes = sum(s.n_lanes for s in usable)
    demand = max(state.load, state.forecast_load or 0)
    queue_grows = state.queue_slope_per_s > 0 and state.n_waiting > n_lanes
    if decision.change > 0 and len(state.sessions) >= POLICY.min_replicas:
        assert demand > POLICY.up_above * n_lanes - 1e-6 or queue_grows


@given(states)
def test_it_shrinks_only_when_idle_or_out_of_memory_and_says_who_goes(state: PoolState) -> None:
    decision = decide_sessions(state, NOW)
    assert len(decision.drain) == max(-decision.change, 0)
    if decision.change >= 0 or len(state.sessions) > POLICY.max_replicas:
        return
    gone = next(s for s in state.sessions if s.name == decision.drain[0])
    running = [s for s in state.sessions if not s.is_starting]
    assert gone in running and not sole_models(gone, running, state.busy_models)
    if state.memory_percent <= POLICY.shed_percent:
        n_lanes = sum(s.n_lanes for s in state.sessions if s.is_usable)
        assert state.n_waiting == 0 and state.load < POLICY.down_below * n_lanes
        assert not any(s.is_starting for s in state.sessions)


@given(states)
def test_every_decision_is_an_event_with_reasons_and_the_six_factors(state: PoolState) -> None:
    decision = decide_sessions(state, NOW)
    assert json.loads(json.dumps(dict(decision.factors))) == decision.factors
    assert decision.reasons and all(decision.reasons)
    assert set(decision.factors) == {
        "utilisation",
        "queue_size",
        "model_patterns",
        "memory_pressure",
        "performance",
        "browser_health",
    }
    assert decision.target - decision.n == decision.change


@given(st.integers(1, 8), st.floats(0, 8))
def test_starting_sessions_count(n: int, load: float) -> None:
    """What a growth has started is not started again, however often it is asked."""
    state = PoolState(pool(n), load=load)
    decision = decide_sessions(state, NOW)
    grown = PoolState(pool(decision.target, max(decision.change, 0)), load=load)
    if decision.target < 2 * n:
        assert decide_sessions(grown, NOW + 1000).change <= 0


@given(st.integers(1, 7), st.floats(0, 100), st.floats(0.1, 100))
def test_where_the_machine_is_the_limit_more_sessions_are_not_tried_on(
    n_before: int, gain: float, before: float
) -> None:
    memory = ScalingMemory(0.0, NOW - 60, growth=GrowthRecord(NOW - 60, n_before, before))
    n = n_before + 1
    state = PoolState(pool(n), n, 50, 1.0, throughput_per_s=before * (1 + gain / 100), memory=memory)
    decision = decide_sessions(state, NOW)
    assert (decision.change > 0) is (gain >= 10 - 1e-9 and n < 8)
    # the hold ends: the machine may have become free
    assert n == 8 or decide_sessions(state, NOW + POLICY.gain_memory_s).change > 0


@given(st.integers(2, 8), st.integers(1, 7))
def test_unhealthy_sessions_are_no_capacity(n: int, n_ill: int) -> None:
    n_ill = min(n_ill, n - 1)
    ill = tuple(replace(s, health=10.0) if k < n_ill else s for k, s in enumerate(pool(n)))
    load = 0.65 * n
    assert decide_sessions(PoolState(pool(n), load=load), NOW).change == 0
    assert decide_sessions(PoolState(ill, load=load), NOW).change > 0 or n == 8


def test_an_unhealthy_pool_does_not_shrink_away() -> None:
    ill = tuple(replace(s, health=10.0) for s in pool(4))
    memory = ScalingMemory(0.0)
    for k in range(100):
        decision = decide_sessions(PoolState(ill, memory=memory), NOW + 10 * k)
        memory = decision.memory
        assert decision.change == 0


@given(st.integers(2, 4), st.integers(0, 4), st.integers(0, 8))
def test_sessions_that_start_have_their_memory_kept_free(n: int, n_starting: int, room: int) -> None:
    n_starting = min(n_starting, n)
    state = PoolState(pool(n, n_starting), load=8, memory_percent=79 - 5 * room, session_memory_percent=5)
    assert decide_sessions(state, NOW).change == min(max(room - n_starting, 0), n, 8 - n)


def test_nothing_goes_while_something_starts() -> None:
    idle = ScalingMemory(0.0)
    assert decide_sessions(PoolState(pool(3), memory=idle), NOW).change == -1
    assert decide_sessions(PoolState(pool(3, 1), memory=idle), NOW).change == 0


def test_each_session_is_held_as_long_as_its_own_past_asks() -> None:
    """The second is wanted every three minutes, the sixth was wanted once."""
    policy, memory = ScalingPolicy(), ScalingMemory()
    n, gone_s = 1, {}
    wishes = [(at_s, 6 if at_s == 0 else 2 if at_s % 180 == 0 else 1) for at_s in range(0, 3600, 5)]
    for at_s, wish in wishes:
        memory = memory.after_wish(at_s, wish, policy)
        held = memory.held(n, at_s, policy)
        if wish > n:
            n, memory = wish, memory.after_growth(at_s, n, wish, None, policy)
        elif held < n:
            gone_s |= dict.fromkeys(range(held + 1, n + 1), at_s)
            n, memory = held, memory.after_shrink(at_s, n, held)
    assert gone_s[6] == policy.down_window_s
    assert memory.level(2).n_regrets >= 1 and memory.level(6).n_regrets == 0
    assert n == 2 and memory.window_s(2, policy) > 180  # from the first regret on it stays


@given(st.lists(st.tuples(st.integers(1, 600), st.integers(0, 8)), max_size=40))
def test_what_was_wanted_within_the_window_is_held(steps: list[tuple[int, int]]) -> None:
    policy, memory, now = ScalingPolicy(), ScalingMemory(), 0.0
    told: list[tuple[float, int]] = []
    for pause_s, wish in steps:
        now += pause_s
        memory = memory.after_wish(now, wish, policy)
        told.append((now, wish))
        lately = [n for at_s, n in told if now - at_s < policy.down_window_s]
        held = memory.held(8, now, policy)
        assert held >= max(lately)
        assert held == 8 if now - told[0][0] < policy.down_window_s else held <= max(lately)
        assert len(memory.wishes) <= 9
