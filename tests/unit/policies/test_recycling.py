"""Recycling: limits hold, leaks are seen whatever the noise, and nothing else is taken for one."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.policies.recycling import (
    MemorySample,
    RecyclePolicy,
    SessionUse,
    find_recycle_reason,
    is_memory_short,
)

POLICY = RecyclePolicy()
MB = 1_000_000
seeds = st.integers(0, 10**6)


def every_ten_s(sizes_mb: list[float]) -> list[MemorySample]:
    return [MemorySample(10.0 * n, int(size * MB)) for n, size in enumerate(sizes_mb)]


def reason(sizes_mb: list[float], settled_at_s: float = 0.0, n_runs: int = 0) -> str | None:
    return find_recycle_reason(SessionUse(n_runs, every_ten_s(sizes_mb), settled_at_s))


@given(st.integers(0, 10_000))
def test_the_number_of_runs_is_a_limit(n_runs: int) -> None:
    assert (find_recycle_reason(SessionUse(n_runs)) is not None) is (n_runs >= POLICY.max_runs)


@given(st.lists(st.floats(100, 3000), max_size=40), st.floats(3300, 9000))
def test_memory_above_the_limit_counts_once_it_stays(before: list[float], high: float) -> None:
    assert "holds" not in (reason([*before, high]) or "")
    assert "holds" in (reason([*before, high, high, high]) or "")


@given(seeds, st.floats(0, 0.05), st.floats(200, 2500), st.integers(2, 60))
def test_a_level_is_no_leak_however_noisy(seed: int, noise: float, level: float, n: int) -> None:
    rng = random.Random(seed)
    assert reason([level * (1 + noise * rng.uniform(-1, 1)) for _ in range(n)]) is None


@given(seeds, st.floats(0, 0.03), st.floats(200, 900), st.floats(0.3, 1.5), st.integers(20, 60))
def test_a_leak_is_seen_through_noise(seed: int, noise: float, level: float, rise: float, n: int) -> None:
    rng = random.Random(seed)
    sizes = [level * (1 + rise * 1.2 * k / n + noise * rng.uniform(-1, 1)) for k in range(n)]
    told = reason(sizes)
    assert told is not None and "rose" in told


@given(st.floats(200, 900), st.floats(1.5, 2), st.integers(1, 59), st.integers(20, 60))
def test_a_loaded_model_is_no_leak(level: float, factor: float, step_at: int, n: int) -> None:
    sizes = [level * (factor if k >= step_at else 1) for k in range(n)]
    assert reason(sizes, settled_at_s=10.0 * step_at) is None


@given(st.floats(200, 900), st.lists(st.integers(0, 59), max_size=12))
def test_peaks_are_no_leak(level: float, peaks: list[int]) -> None:
    assert reason([level * (3 if k in peaks else 1) for k in range(60)]) is None


@given(st.floats(200, 900), st.floats(0.5, 0.99))
def test_falling_memory_is_no_leak(level: float, factor: float) -> None:
    assert reason([level * factor**k for k in range(60)]) is None


@given(st.integers(0, 19), st.floats(1.01, 1.02))
def test_a_short_series_is_not_judged(n: int, factor: float) -> None:
    assert reason([300 * factor ** (k * 3) for k in range(n)]) is None


def test_wild_noise_is_hardly_ever_taken_for_a_leak() -> None:
    """The slope alone would recycle dozens of these; the test for chance lets one in a hundred through."""
    told = 0
    for seed in range(200):
        rng = random.Random(seed)
        told += reason([500 * (1 + 0.8 * rng.uniform(-1, 1)) for _ in range(20)]) is not None
    assert told <= 4


@pytest.mark.parametrize(
    ("size_bytes", "system_percent", "is_short"),
    [(None, 50.0, False), (899, 50.0, False), (901, 50.0, True), (1, 81.0, True), (None, 80.0, False)],
)
def test_memory_is_short_before_a_session_is_replaced(
    size_bytes: int | None, system_percent: float, is_short: bool
) -> None:
    policy = RecyclePolicy(max_memory_bytes=1000)
    assert is_memory_short(size_bytes, system_percent, policy) is is_short
