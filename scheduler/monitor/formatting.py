"""Values as the pages word them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any


def time_text(at: Any) -> str:
    """A time of day in UTC, from seconds since the epoch; any other value as it is."""
    if isinstance(at, (int, float)) and not isinstance(at, bool):
        return datetime.fromtimestamp(at, UTC).strftime("%d %b %H:%M:%S UTC")
    return "" if at is None else str(at)[:19].replace("T", " ")


def factors_text(factors: Any) -> str:
    """`name value, ...` of a decision's factors, given as an object or as its JSON."""
    if isinstance(factors, str):
        try:
            factors = json.loads(factors)
        except ValueError:
            return str(factors)
    if not isinstance(factors, dict):
        return ""
    return ", ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in factors.items())


def series_text(series: Any) -> str:
    """What a series is of: the values of its JSON."""
    try:
        found = json.loads(series) if isinstance(series, str) else series
    except ValueError:
        found = series
    return (
        " · ".join(str(value) for value in found.values() if value) if isinstance(found, dict) else str(found)
    )


def percent_text(before: float | None, after: float | None) -> str:
    """The change in percent, with its sign."""
    return f"{(after / before - 1) * 100:+.0f} %" if before and after is not None else ""


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
