"""Erlang C against tabulated values and against what must hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.autoscaling.queueing import count_servers, late_share, waiting_share


@pytest.mark.parametrize(
    ("n", "load", "share"),
    [(1, 0.5, 0.5), (2, 1.0, 1 / 3), (3, 2.0, 4 / 9), (5, 4.0, 0.5541)],  # Cooper (1981), table of Erlang C
)
def test_tabulated_shares(n: int, load: float, share: float) -> None:
    assert waiting_share(n, load) == pytest.approx(share, abs=5e-5)


@given(st.floats(0, 200), st.floats(0.001, 10), st.floats(0, 10), st.floats(0.001, 0.5))
def test_as_few_servers_as_keep_the_promise(
    load: float, service_s: float, wait_s: float, late: float
) -> None:
    n = count_servers(load, service_s, wait_s, late)
    assert n >= load
    if load > 0:
        assert late_share(n, load, service_s, wait_s) <= late
        assert n - 1 <= load or late_share(n - 1, load, service_s, wait_s) > late


@given(st.floats(0.01, 100), st.integers(1, 200))
def test_shares_are_shares_and_servers_help(load: float, n: int) -> None:
    assert 0 <= waiting_share(n + 1, load) <= waiting_share(n, load) <= 1
