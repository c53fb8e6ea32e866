"""Forecasts: right for steady arrivals, ahead for rising ones, never negative, gone when the traffic is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.scaling.forecast import (
    BIN_S,
    DAMPING,
    FORGOTTEN_BINS,
    LEVEL_SHARE,
    LOAD_HALF_LIFE_S,
    MAX_MODELS,
    TREND_SHARE,
    ArrivalRate,
    Arrivals,
    MeanLoad,
)

times = st.lists(st.floats(0, 1000), max_size=100).map(sorted)


def fed(arrivals: list[float]) -> ArrivalRate:
    rate = ArrivalRate()
    for at_s in arrivals:
        rate = rate.after(at_s)
    return rate


def rising(first: int, step: int, n_bins: int) -> ArrivalRate:
    """first, first + step, ... arrivals in the bins; the last bin is over."""
    rate = ArrivalRate()
    for k in range(n_bins):
        rate = rate.after(k * BIN_S, first + step * k)
    return rate


@given(times, st.floats(0, 1e5), st.floats(0, 600))
def test_a_rate_is_never_negative_nor_more_than_ever_was(
    arrivals: list[float], later_s: float, horizon_s: float
) -> None:
    now = (arrivals[-1] if arrivals else 0.0) + later_s
    assert 0 <= fed(arrivals).per_s(now, horizon_s) <= 3 * len(arrivals) / BIN_S


@given(st.integers(1, 50), st.integers(2, 40), st.floats(0, 600))
def test_steady_arrivals_are_forecast_exactly(n: int, n_bins: int, horizon_s: float) -> None:
    assert rising(n, 0, n_bins).per_s(n_bins * BIN_S, horizon_s) == pytest.approx(n / BIN_S)


@given(st.integers(1, 10), st.integers(1, 10), st.integers(4, 40))
def test_rising_arrivals_are_forecast_higher_further_ahead(first: int, step: int, n_bins: int) -> None:
    rate, now = rising(first, step, n_bins), n_bins * BIN_S
    forecasts = [rate.per_s(now, horizon_s) for horizon_s in (0, BIN_S, 4 * BIN_S)]
    assert forecasts == sorted(forecasts) and forecasts[0] < forecasts[-1]


@given(times)
def test_without_arrivals_the_rate_dies_away(arrivals: list[float]) -> None:
    end = arrivals[-1] if arrivals else 0.0
    assert fed(arrivals).per_s(end + (FORGOTTEN_BINS + 2) * BIN_S) == 0


@given(st.integers(1, 100))
def test_a_burst_is_seen_before_its_bin_is_over(n: int) -> None:
    assert ArrivalRate().after(0.0, n).per_s(0.1) == n / BIN_S


@given(st.dictionaries(st.sampled_from("abc"), st.integers(1, 50)), st.floats(0, 10))
def test_the_load_is_rate_times_service_time(counts: dict[str, int], service_s: float) -> None:
    arrivals = Arrivals()
    for model, n in counts.items():
        arrivals.record(model, 0.0, n)
    load = arrivals.forecast_load(BIN_S, 0.0, dict.fromkeys(counts, service_s))
    assert load == pytest.approx(sum(counts.values()) / BIN_S * service_s)
    assert arrivals.busy_models(BIN_S) == frozenset(counts)
    assert arrivals.forecast_load(BIN_S, 0.0, {}) == 0


@given(st.lists(st.integers(0, 200), max_size=300))
def test_few_models_are_remembered(models: list[int]) -> None:
    arrivals = Arrivals()
    for n, model in enumerate(models):
        arrivals.record(str(model), float(n) / 100)
    assert len(arrivals.rates_per_s(3.0)) == min(len(set(models)), MAX_MODELS)


@given(st.lists(st.tuples(st.floats(0, 1000), st.integers(0, 8)), max_size=30).map(sorted))
def test_the_mean_load_lies_between_what_was_seen(changes: list[tuple[float, int]]) -> None:
    load = MeanLoad()
    for at_s, n_busy in changes:
        load = load.after(n_busy, at_s)
    end = changes[-1] if changes else (0.0, 0)
    assert 0 <= load.value(end[0]) <= max((n for _, n in changes), default=0) + 1e-9
    assert load.value(end[0] + 50 * LOAD_HALF_LIFE_S) == pytest.approx(end[1])


@given(st.lists(st.integers(0, 30), min_size=1, max_size=40), st.integers(0, 20))
def test_the_equations_are_holts(counts: list[int], steps: int) -> None:
    """Written out once more, from the textbook: level, damped trend, forecast."""
    rates = [n / BIN_S for n in counts]
    level, trend = rates[0], 0.0
    for seen in rates[1:]:
        before, expected = level, level + DAMPING * trend
        level = LEVEL_SHARE * seen + (1 - LEVEL_SHARE) * expected
        trend = TREND_SHARE * (level - before) + (1 - TREND_SHARE) * DAMPING * trend
    forecast = level + sum(DAMPING**k for k in range(1, steps + 1)) * trend
    rate = ArrivalRate()
    for k, n in enumerate(counts):
        rate = rate.after(k * BIN_S, n)
    assert rate.per_s(len(counts) * BIN_S, steps * BIN_S) == pytest.approx(max(forecast, 0.0), abs=1e-9)


def test_a_long_silence_costs_nothing() -> None:
    assert ArrivalRate().after(0.0, 10).per_s(1e15) == 0
