"""Latencies: quantiles were measured, fresh runs outweigh old ones, the store stays bounded."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.vocabulary import Backend, Browser, Precision
from browser_runtime.policies.latencies import (
    HALF_LIFE_S,
    MAX_KEYS,
    WINDOW_RUNS,
    BatchCost,
    Latencies,
    LatencyKey,
    weighted_quantile,
)


def key_of(model: object, browser: Browser = Browser.EDGE, backend: Backend = Backend.WEBNN) -> LatencyKey:
    return LatencyKey(ModelKey(str(model), "1", None, Precision.FP32), browser, backend)


KEY = key_of("m", Browser.CHROME, Backend.WASM)
times_ms = st.floats(0, 1e6)
sizes = st.integers(1, 32)
runs = st.lists(st.tuples(times_ms, sizes), min_size=1, max_size=2 * WINDOW_RUNS)


def filled(measured: list[tuple[float, int]], now: float = 0.0) -> Latencies:
    store = Latencies()
    for ms, n_items in measured:
        store.record(KEY, ms, now, n_items)
    return store


@given(runs, st.floats(0, 1e6))
def test_quantiles_are_ordered_and_were_measured(measured: list[tuple[float, int]], now: float) -> None:
    found = filled(measured).summary(KEY, now)
    assert found is not None
    recent = [ms for ms, _ in measured[-WINDOW_RUNS:]]
    assert {found.p50_ms, found.p95_ms} <= set(recent)
    assert found.p50_ms <= found.p95_ms
    assert found.n_runs == len(recent)
    assert 0 <= found.weight <= len(recent)


@given(runs, st.floats(0, 1e5), st.floats(0, 1e5))
def test_evidence_fades(measured: list[tuple[float, int]], now: float, later_s: float) -> None:
    store = filled(measured)
    early, late = store.summary(KEY, now), store.summary(KEY, now + later_s)
    assert early and late
    assert late.weight <= early.weight
    assert late.p50_ms == early.p50_ms  # equally old runs fade alike


@given(times_ms, times_ms)
def test_fresh_runs_outweigh_as_many_old_ones(old_ms: float, new_ms: float) -> None:
    store = filled([(old_ms, 1)] * 10)
    for _ in range(10):
        store.record(KEY, new_ms, now=2 * HALF_LIFE_S)
    found = store.summary(KEY, now=2 * HALF_LIFE_S)
    assert found and found.p50_ms == new_ms


@given(st.floats(0, 100), st.floats(0, 100), st.sets(sizes, min_size=2), sizes)
def test_a_linear_cost_is_found(fixed_ms: float, per_item_ms: float, known: set[int], n_items: int) -> None:
    found = filled([(fixed_ms + per_item_ms * n, n) for n in known]).summary(KEY, 0.0)
    assert found
    assert found.expected_ms(n_items) == pytest.approx(fixed_ms + per_item_ms * n_items, abs=1e-6)


@given(runs, sizes, sizes)
def test_a_larger_batch_is_never_predicted_cheaper(
    measured: list[tuple[float, int]], one: int, other: int
) -> None:
    found = filled(measured).summary(KEY, 0.0)
    assert found
    small, large = sorted((one, other))
    assert 0 <= found.cost.predict_ms(small) <= found.cost.predict_ms(large)


@given(times_ms, sizes)
def test_one_measured_size_never_promises_too_much_of_larger_batches(ms: float, n_items: int) -> None:
    found = filled([(ms, n_items)]).summary(KEY, 0.0)
    assert found and found.cost == BatchCost(0.0, ms / n_items)


def test_a_size_measured_often_is_believed_before_the_line() -> None:
    found = filled([(10.0, 1)] * 5 + [(100.0, 2)] * 5 + [(12.0, 4)] * 5).summary(KEY, 0.0)
    assert found and [found.expected_ms(n) for n in (1, 2, 4)] == [10.0, 100.0, 12.0]


@given(st.lists(st.integers(0, 400), max_size=400))
def test_the_store_stays_bounded_and_keeps_the_newest(models: list[int]) -> None:
    store = Latencies()
    for model in models:
        store.record(key_of(model), 1.0, 0.0)
    assert len(store) == min(len(set(models)), MAX_KEYS)
    if models:
        assert store.summary(key_of(models[-1]), 0.0)


@pytest.mark.parametrize(("ms", "n_items"), [(-1.0, 1), (math.nan, 1), (math.inf, 1), (1.0, 0)])
def test_what_is_no_measurement_is_refused(ms: float, n_items: int) -> None:
    with pytest.raises(ValueError, match="cannot take"):
        Latencies().record(KEY, ms, 0.0, n_items)


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0.01, 10)), min_size=1), st.floats(0, 1))
def test_a_weighted_quantile_has_its_share_at_or_below(values: list[tuple[float, float]], q: float) -> None:
    found = weighted_quantile(values, q)
    total = sum(weight for _, weight in values)
    assert sum(weight for value, weight in values if value <= found) >= q * total - 1e-9
    assert sum(weight for value, weight in values if value < found) <= q * total + 1e-9


def test_an_unmeasured_key_has_no_summary() -> None:
    assert Latencies().summary(KEY, 0.0) is None


def test_a_key_that_is_still_measured_is_kept() -> None:
    store = Latencies(max_keys=2)
    for model in ("a", "b", "a", "c"):
        store.record(key_of(model), 1.0, 0.0)
    kept = [m for m in "abc" if store.summary(key_of(m), 0.0)]
    assert kept == ["a", "c"]
