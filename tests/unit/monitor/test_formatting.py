"""Values as the pages show them."""

from __future__ import annotations

from typing import Any

import pytest

from scheduler.monitor.formatting import (
    bytes_text,
    factors_text,
    percent_text,
    series_text,
    span_text,
    time_text,
)


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


def test_bytes_and_spans() -> None:
    assert (bytes_text(400_000_042), bytes_text(9.9e9), bytes_text(200e9)) == ("400 MB", "9,900 MB", "200 GB")
    assert [span_text(hours) for hours in (1, 24, 168, 720)] == ["1 h", "24 h", "7 days", "30 days"]
