"""Trends: exact on lines, deaf to outliers, silent on noise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.scaling.trends import mann_kendall_z, theil_sen_slope

slopes = st.integers(-1000, 1000).map(float)
series = st.lists(st.floats(-1e6, 1e6), max_size=30)


@given(slopes, slopes, st.integers(2, 30))
def test_a_line_has_its_slope(slope: float, offset: float, n: int) -> None:
    assert theil_sen_slope([(float(x), slope * x + offset) for x in range(n)]) == pytest.approx(slope)


@given(slopes, st.lists(st.floats(-1e9, 1e9), min_size=5, max_size=5), st.permutations(range(20)))
def test_a_quarter_of_outliers_does_not_bend_the_slope(
    slope: float, outliers: list[float], places: list[int]
) -> None:
    points = [(float(x), slope * x) for x in range(20)]
    for place, y in zip(places, outliers, strict=False):
        points[place] = (float(place), y)
    assert theil_sen_slope(points) == pytest.approx(slope)


@given(st.lists(st.floats(-1e6, 1e6), max_size=10))
def test_one_x_has_no_slope(values: list[float]) -> None:
    assert theil_sen_slope([(1.0, y) for y in values]) is None


@given(series)
def test_the_reverse_falls_as_surely_as_the_series_rises(values: list[float]) -> None:
    assert mann_kendall_z(values[::-1]) == pytest.approx(-mann_kendall_z(values))


@given(series)
def test_nothing_rises_more_surely_than_the_sorted_series(values: list[float]) -> None:
    assert mann_kendall_z(values) <= mann_kendall_z(sorted(values)) + 1e-9


@given(st.sets(st.floats(-1e6, 1e6), min_size=12))
def test_a_dozen_rising_values_are_no_accident(values: set[float]) -> None:
    assert mann_kendall_z(sorted(values)) > 4
