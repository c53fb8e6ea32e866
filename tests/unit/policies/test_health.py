"""Health: bounded, worse by bad news, never by good ones, and time heals."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.contract.vocabulary import HEALTHY_SCORE
from browser_runtime.policies.breaker import BreakerPolicy
from browser_runtime.policies.health import MOST_POINTS, HealthSample, HealthState

samples = st.builds(
    HealthSample,
    at_s=st.floats(0, 1e4),
    ok=st.none() | st.booleans(),
    slowdown=st.none() | st.floats(0, 100),
    dropped=st.booleans(),
    memory_fraction=st.none() | st.floats(0, 3),
    ping_ms=st.none() | st.floats(0, 1e5),
)
histories = st.lists(samples, max_size=30).map(lambda found: sorted(found, key=lambda sample: sample.at_s))
NOW = 1e4


def after(history: list[HealthSample], state: HealthState | None = None) -> HealthState:
    state = state or HealthState()
    for sample in history:
        state = state.after(sample)
    return state


@given(histories, st.floats(0, 2e4))
def test_score_and_factors_are_bounded(history: list[HealthSample], now: float) -> None:
    state = after(history)
    assert 0 <= state.score(now) <= 100
    assert state.factors(now).keys() == MOST_POINTS.keys()
    assert all(0 <= points <= MOST_POINTS[name] for name, points in state.factors(now).items())
    assert state.score(now) == pytest.approx(max(100 - sum(state.factors(now).values()), 0))


@given(histories, samples, histories)
def test_an_error_in_place_of_a_success_never_raises_the_score(
    before: list[HealthSample], sample: HealthSample, later: list[HealthSample]
) -> None:
    good, bad = replace(sample, ok=True, slowdown=None), replace(sample, ok=False, slowdown=None)
    tail = [replace(s, at_s=NOW) for s in later]
    state = after(before)
    assert after([bad, *tail], state).score(NOW) <= after([good, *tail], state).score(NOW) + 1e-6


@given(histories, st.integers(1, 10))
def test_more_errors_never_raise_the_score(history: list[HealthSample], n: int) -> None:
    state = after(history)
    scores = [after([HealthSample(NOW, ok=False)] * k, state).score(NOW) for k in range(n)]
    assert all(more <= fewer + 1e-9 for fewer, more in pairwise(scores))


@given(histories)
def test_a_success_never_lowers_the_score(history: list[HealthSample]) -> None:
    state = after(history)
    assert state.after(HealthSample(NOW, ok=True)).score(NOW) >= state.score(NOW) - 1e-9
    assert state.after(HealthSample(NOW, ok=True, slowdown=1.0)).score(NOW) >= state.score(NOW) - 1e-9


@given(histories, st.floats(0, 1e4), st.floats(0, 1e4))
def test_time_alone_heals(history: list[HealthSample], now: float, longer_s: float) -> None:
    state = after(history)
    assert state.score(NOW + now + longer_s) >= state.score(NOW + now) - 1e-9
    assert state.score(NOW + 3600) > 99


@given(histories, st.floats(1, 100), st.floats(1, 100))
def test_slower_runs_never_look_healthier(history: list[HealthSample], one: float, other: float) -> None:
    state, (fast, slow) = after(history), sorted((one, other))
    scores = [state.after(HealthSample(NOW, ok=True, slowdown=x)).score(NOW) for x in (fast, slow)]
    assert scores[1] <= scores[0] + 1e-9


@given(samples.filter(lambda sample: sample.ok is not False))
def test_one_sample_without_failure_never_makes_a_session_unhealthy(sample: HealthSample) -> None:
    assert HealthState().after(sample).score(sample.at_s) >= HEALTHY_SCORE


def test_a_new_session_is_avoided_just_before_its_breaker_opens() -> None:
    failures = BreakerPolicy().max_failures
    healthy = [
        after([HealthSample(0.0, ok=False)] * n).score(0.0) >= HEALTHY_SCORE for n in range(failures + 1)
    ]
    assert healthy == [True] * (failures - 1) + [False] * 2
    broken = after([HealthSample(0.0, ok=False)] * failures)
    assert broken.score(BreakerPolicy().open_s) >= HEALTHY_SCORE


@given(histories)
def test_a_success_ends_a_streak(history: list[HealthSample]) -> None:
    state = after([*history, HealthSample(NOW, ok=True)])
    assert state.factors(NOW)["consecutive_failures"] == 0


@given(histories, st.lists(st.floats(0.001, 1), max_size=20))
def test_fast_runs_earn_no_credit_for_slow_ones(history: list[HealthSample], speeds: list[float]) -> None:
    fast = after([HealthSample(NOW, ok=True, slowdown=x) for x in speeds], after(history))
    even = after([HealthSample(NOW, ok=True, slowdown=1.0) for _ in speeds], after(history))
    assert fast == even
