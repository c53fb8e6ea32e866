"""Values as the pages show them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

MEGABYTE, GIGABYTE = 1e6, 1e9


def time_text(at: object) -> str:
    """A time of day in UTC, from seconds since the epoch; any other value as it is."""
    if isinstance(at, (int, float)) and not isinstance(at, bool):
        return datetime.fromtimestamp(at, UTC).strftime("%d %b %H:%M:%S UTC")
    return "" if at is None else str(at)[:19].replace("T", " ")


def span_text(hours: int) -> str:
    """`24 h`, `7 days`."""
    return f"{hours} h" if hours < 48 else f"{hours // 24} days"


def bytes_text(n_bytes: float) -> str:
    """Megabytes, from ten gigabytes on gigabytes."""
    if n_bytes < 10 * GIGABYTE:
        return f"{n_bytes / MEGABYTE:,.0f} MB"
    return f"{n_bytes / GIGABYTE:,.0f} GB"


def factors_text(factors: object) -> str:
    """`name value, ...` of a decision's factors, given as an object or as its JSON."""
    if isinstance(factors, str):
        try:
            factors = json.loads(factors)
        except ValueError:
            return str(factors)
    if not isinstance(factors, Mapping):
        return ""
    return ", ".join(f"{str(name).replace('_', ' ')} {_short(value)}" for name, value in factors.items())


def series_text(series: str) -> str:
    """The values of a series' JSON, such as `digits-vit · chrome · wasm`; any other text as it is."""
    try:
        found = json.loads(series)
    except ValueError:
        return series
    return (
        " · ".join(str(value) for value in found.values() if value) if isinstance(found, dict) else str(found)
    )


def percent_text(before: float | None, after: float | None) -> str:
    """The change in percent, with its sign."""
    return f"{(after / before - 1) * 100:+.0f} %" if before and after is not None else ""


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
