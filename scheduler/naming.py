"""Names of series for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def name_series(series: Mapping[str, Any]) -> str:
    """A series in one line: model, browser, backend and so on, without empty parts."""
    parts = {name: str(value) for name, value in series.items() if value not in (None, "", "{}")}
    if "flags" in parts:
        parts["flags"] = _name_flags(parts["flags"])
    if "batch_size" in parts:
        parts["batch_size"] = f"batch {parts['batch_size']}"
    return " ".join(filter(None, parts.values()))


def _name_flags(flags: str) -> str:
    """The flags that are on; `flags` itself if it is not a JSON object."""
    try:
        known = json.loads(flags)
    except ValueError:
        return flags
    return " ".join(name for name, value in known.items() if value) if isinstance(known, dict) else flags
