"""Values as the pages word them."""

from __future__ import annotations

from typing import Any

import pytest

from scheduler.monitor.formatting import factors_text, percent_text, series_text, time_text


@pytest.mark.parametrize(
    ("at", "text"),
    [(0, "01 Jan 00:00:00 UTC"), ("2026-11-23T10:11:12.5+00:00", "2026-11-23 10:11:12"), (None, "")],
)
def test_times(at: Any, text: str) -> None:
    assert time_text(at) == text


@pytest.mark.parametrize(
    ("factors", "text"),
    [
        ({"in_flight": 3, "load": 2.33333}, "in flight 3, load 2.33"),
        ('{"depth": 1}', "depth 1"),
        ("not json", "not json"),
        (None, ""),
    ],
)
def test_factors(factors: Any, text: str) -> None:
    assert factors_text(factors) == text


def test_series_and_percent() -> None:
    assert series_text('{"model": "m", "browser": "chrome", "backend": ""}') == "m · chrome"
    assert series_text("plain") == "plain"
    assert (percent_text(20.0, 32.0), percent_text(0.0, 1.0)) == ("+60 %", "")
