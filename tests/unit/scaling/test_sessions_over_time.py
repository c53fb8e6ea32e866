"""Scaling over simulated time: a constant load never flaps, a step is followed, calm brings it down again."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from browser_runtime.scaling.forecast import Arrivals, MeanLoad
from browser_runtime.scaling.sessions import PoolState, SessionPolicy, decide_sessions
from browser_runtime.scaling.trends import theil_sen_slope
from browser_runtime.scaling.values import (
    Decision,
    Replica,
    ScalingMemory,
)

TICK_S, START_S, ASK_S = 0.25, 3.0, 2.0
POLICY = SessionPolicy()


@dataclass
class PoolOnPaper:
    """Lanes that serve a queue in discrete time; sessions take START_S to start. One lane a session."""

    service_s: float
    n_ready: int = 1
    n_cores: float = math.inf
    """Lanes that can compute at full speed side by side."""
    with_forecast: bool = True
    now: float = 0.0
    starting: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    waiting: int = 0
    n_done: int = 0
    memory: ScalingMemory = field(default_factory=ScalingMemory)
    load: MeanLoad = field(default_factory=MeanLoad)
    arrivals: Arrivals = field(default_factory=Arrivals)
    lengths: list[tuple[float, float]] = field(default_factory=list)
    done_at: deque[float] = field(default_factory=deque)

    @property
    def n(self) -> int:
        return self.n_ready + len(self.starting)

    def tick(self, n_arrived: int) -> None:
        self.now += TICK_S
        self.n_ready += sum(at <= self.now for at in self.starting)
        self.starting = [at for at in self.starting if at > self.now]
        if n_arrived:
            self.arrivals.record("m", self.now, n_arrived)
        self.waiting += n_arrived
        speed = min(1.0, self.n_cores / max(len(self.busy), 1))
        before = len(self.busy)
        self.busy = [left - TICK_S * speed for left in self.busy if left - TICK_S * speed > 1e-9]
        self.done_at.extend([self.now] * (before - len(self.busy)))
        taken = min(self.waiting, max(self.n_ready - len(self.busy), 0))
        self.busy += [self.service_s] * taken
        self.waiting -= taken
        self.load = self.load.after(len(self.busy), self.now)

    def ask(self) -> Decision:
        self.lengths = [*self.lengths[-10:], (self.now, float(self.waiting))]
        while self.done_at and self.done_at[0] <= self.now - 20:
            self.done_at.popleft()
        forecast = self.arrivals.forecast_load(self.now, START_S, {"m": self.service_s})
        decision = decide_sessions(
            PoolState(
                tuple(Replica(f"s{k}", is_starting=k >= self.n_ready) for k in range(self.n)),
                self.load.value(self.now),
                self.waiting,
                theil_sen_slope(self.lengths) or 0.0,
                forecast if self.with_forecast else None,
                throughput_per_s=len(self.done_at) / 20,
                memory=self.memory,
            ),
            self.now,
        )
        self.memory = decision.memory
        self.starting += [self.now + START_S] * max(decision.change, 0)
        self.n_ready -= max(-decision.change, 0)
        return decision


def run(pool: PoolOnPaper, arrivals: Callable[[float], int], duration_s: float) -> Iterator[Decision]:
    """Every decision that changed something."""
    for k in range(round(duration_s / TICK_S)):
        pool.tick(arrivals(pool.now))
        if k % round(ASK_S / TICK_S) == 0:
            decision = pool.ask()
            if decision.change:
                yield decision


def evenly(rate_per_s: float) -> Callable[[float], int]:
    return lambda now: math.floor((now + TICK_S) * rate_per_s) - math.floor(now * rate_per_s)


def by_chance(rate_per_s: float, seed: int) -> Callable[[float], int]:
    """Poisson arrivals."""
    rng = random.Random(seed)
    limit = math.exp(-rate_per_s * TICK_S)

    def draw(now: float) -> int:
        n, product = 0, rng.random()
        while product > limit:
            n, product = n + 1, product * rng.random()
        return n

    return draw


def reversals(changes: list[int]) -> int:
    return sum((a > 0) is not (b > 0) for a, b in pairwise(changes))


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 5.5), st.integers(1, 8))
def test_a_constant_load_seen_directly_never_flaps(load: float, n: int) -> None:
    """The deciding core alone: what grows never shrinks again, and it comes to rest."""
    memory, changes = ScalingMemory(), []
    for k in range(600):
        state = PoolState(
            tuple(Replica(f"s{i}") for i in range(n)), min(load, n), forecast_load=load, memory=memory
        )
        decision = decide_sessions(state, 5.0 * k)
        n, memory = decision.target, decision.memory
        changes += [decision.change] * (decision.change != 0)
    assert reversals(changes) == 0
    assert load <= POLICY.up_above * n + 1e-9 or n == 8
    assert decide_sessions(PoolState(state.sessions, min(load, n), memory=memory), 3005.0).change == 0


@settings(max_examples=15, deadline=None)
@given(st.floats(0.1, 5), st.sampled_from([0.25, 0.5, 1.0]), st.integers(1, 8))
def test_even_arrivals_never_flap(load: float, service_s: float, n: int) -> None:
    pool = PoolOnPaper(service_s, n)
    changes = [decision.change for decision in run(pool, evenly(load / service_s), 600)]
    assert reversals(changes) <= 1  # at most one overshoot of the start is taken back
    assert pool.n >= load
    assert pool.waiting <= 3 * pool.n


@settings(max_examples=12, deadline=None)
@given(st.floats(0.2, 4.5), st.integers(0, 10**6))
def test_chance_arrivals_of_a_constant_rate_hardly_flap(load: float, seed: int) -> None:
    """Once settled (5 min), a session comes and goes at most three times in half an hour of pure noise."""
    pool = PoolOnPaper(0.5)
    list(run(pool, by_chance(load / 0.5, seed), 300))
    changes = [decision.change for decision in run(pool, by_chance(load / 0.5, seed + 1), 1800)]
    assert reversals(changes) <= 6


@settings(max_examples=10, deadline=None)
@given(st.floats(1.5, 5))
def test_a_step_is_followed_up_and_down(load: float) -> None:
    pool = PoolOnPaper(0.5)
    list(run(pool, evenly(0.2), 120))
    assert pool.n == 1
    up = list(run(pool, evenly(load / 0.5), 180))
    assert pool.n >= load and all(decision.change > 0 for decision in up)
    assert up[0].at_s <= 120 + 15
    down = list(run(pool, evenly(0.2), 900))
    assert pool.n == 1 and all(decision.change == -1 for decision in down)
    gaps = [b.at_s - a.at_s for a, b in pairwise([*up, *down])]
    assert all(gap >= POLICY.cool_down_s for gap in gaps)


def test_the_forecast_starts_the_next_session_before_the_load_is_there() -> None:
    """On the same ramp, the first growth comes earlier with the forecast, and fewer requests ever wait."""
    ramp: Callable[[float], int] = lambda now: evenly(0.2 + now / 60)(now)  # noqa: E731
    first: list[float] = []
    for with_forecast in (True, False):
        pool = PoolOnPaper(0.5, with_forecast=with_forecast)
        first.append(next(run(pool, ramp, 600)).at_s)
    assert first[0] <= first[1]


@settings(max_examples=8, deadline=None)
@given(st.sampled_from([1, 2]))
def test_on_a_full_machine_it_stops_where_more_sessions_gain_nothing(n_cores: int) -> None:
    pool = PoolOnPaper(0.5, n_cores=n_cores, with_forecast=False)
    list(run(pool, evenly(40.0), 240))
    assert n_cores <= pool.n <= 2 * n_cores + 2


@pytest.mark.parametrize("n_models", [2, 3])
def test_warm_holders_of_busy_models_stay_however_calm_it_is(n_models: int) -> None:
    models = [f"m{k}" for k in range(n_models)]
    sessions = tuple(Replica(m, warm_models=frozenset({m})) for m in models)
    memory = ScalingMemory()
    for k in range(200):
        state = PoolState(sessions, busy_models=frozenset(models), memory=memory)
        decision = decide_sessions(state, 10.0 * k)
        memory = decision.memory
        assert decision.change == 0
    assert "only warm holder" in decision.reasons[0]
