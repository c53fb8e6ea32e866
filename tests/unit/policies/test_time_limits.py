"""How long an operation may take: never beyond the setting, never below what a pause would look like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.policies.latencies import BatchCost, LatencySummary
from browser_runtime.policies.time_limits import (
    FACTOR,
    FIRST_RUN_FACTOR,
    LOADS_IN_A_RUN,
    MIN_RUNS,
    SHORTEST_LOAD_S,
    SHORTEST_RUN_S,
    TimeLimit,
    WarmUp,
    limit_load,
    limit_run,
    limit_silence,
)

times_ms = st.floats(0, 1e6)
summaries = st.builds(
    LatencySummary,
    n_runs=st.integers(1, 64),
    weight=st.floats(0.1, 64),
    p50_ms=times_ms,
    p95_ms=times_ms,
    cost=st.builds(BatchCost, times_ms, times_ms),
)
LONGEST_S = 120.0


def known(ms: float, n_runs: int = 10, per_unit_ms: float = 0.0) -> LatencySummary:
    return LatencySummary(n_runs, 1.0, ms, ms, BatchCost(ms, per_unit_ms))


@given(st.none() | summaries, st.integers(1, 10_000), st.none() | summaries)
def test_a_limit_stays_between_the_shortest_and_the_setting(
    run: LatencySummary | None, n_units: int, load: LatencySummary | None
) -> None:
    limit = limit_run(run, n_units, load, LONGEST_S)
    assert min(SHORTEST_RUN_S, LONGEST_S) <= limit.seconds <= LONGEST_S
    assert SHORTEST_LOAD_S <= limit_load(load, 300.0).seconds <= 300.0
    assert limit.reason
    if limit.seconds < LONGEST_S:
        assert run is not None and limit.seconds + 1e-3 >= FACTOR * run.p95_ms / 1000
        assert limit_run(run, n_units + 1, load, LONGEST_S).seconds >= limit.seconds


def test_what_was_hardly_measured_has_the_settings_limit() -> None:
    assert limit_run(None, 1, None, LONGEST_S).seconds == LONGEST_S
    assert limit_run(known(1.0, MIN_RUNS - 1), 1, None, LONGEST_S).seconds == LONGEST_S
    assert limit_run(known(1.0, MIN_RUNS), 1, None, LONGEST_S).seconds == SHORTEST_RUN_S
    assert limit_load(None, 300.0).seconds == 300.0


@pytest.mark.parametrize(
    ("n_units", "seconds", "reason"),
    [
        (1, 20.1, "10 times the usual 2.01 s"),
        (100, 30.0, "10 times the usual 3 s"),
        (10_000, 120.0, "10 times the usual 102 s, at most 120 s"),
    ],
)
def test_more_work_may_take_longer(n_units: int, seconds: float, reason: str) -> None:
    assert limit_run(known(2000.0, per_unit_ms=10.0), n_units, None, LONGEST_S) == TimeLimit(seconds, reason)


def test_a_run_may_have_to_open_a_graph_and_another_attempt_gets_longer() -> None:
    limit = limit_run(known(2000.0), 1, known(5000.0), LONGEST_S)
    assert limit.seconds == 30.0
    assert limit.at_least(None) == limit.at_least(10.0) == limit
    assert limit.at_least(60.0).seconds == 60.0


def test_until_runs_are_measured_the_warm_up_stands_for_them() -> None:
    warm_up = WarmUp(run_s=0.5, open_s=2.0)
    limit = limit_run(None, 4, None, 120.0, warm_up)
    assert limit.seconds == FACTOR * 0.5 * 4 + LOADS_IN_A_RUN * 2.0
    assert "warm-up" in limit.reason
    assert limit_run(None, 1, None, 120.0, WarmUp(0.001, 0.1)).seconds == FIRST_RUN_FACTOR * SHORTEST_RUN_S
    assert limit_run(None, 1000, None, 120.0, warm_up).seconds == 120.0
    assert limit_run(known(1.0, MIN_RUNS), 1, None, 120.0, warm_up) == limit_run(
        known(1.0, MIN_RUNS), 1, None, 120.0
    )


def test_what_may_pass_between_two_tokens_is_no_matter_of_how_long_stories_take() -> None:
    story = LatencySummary(10, 10.0, 60_000.0, 90_000.0, BatchCost(0.0, 200.0))
    assert limit_silence(story, 40, None, LONGEST_S).seconds == FACTOR * 40 * 0.2
    assert limit_run(story, 300, None, LONGEST_S).seconds == LONGEST_S
    assert limit_silence(None, 40, None, LONGEST_S).seconds == LONGEST_S
    warm = WarmUp(run_s=0.002, open_s=1.0)
    assert limit_silence(None, 40, None, LONGEST_S, warm) == limit_run(None, 40, None, LONGEST_S, warm)
