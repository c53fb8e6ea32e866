"""How a series is said to a person."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def name_series(series: Mapping[str, Any]) -> str:
    """A series in one line: model, browser, backend and so on; what is empty or usual is left out."""
    said = {name: str(value) for name, value in series.items() if value not in (None, "", "{}")}
    if "flags" in said:
        said["flags"] = _name_flags(said["flags"])
    if "batch_size" in said:
        said["batch_size"] = f"batch {said['batch_size']}"
    return " ".join(filter(None, said.values()))


def _name_flags(flags: str) -> str:
    """The flags that are on; the text itself where it is no object."""
    try:
        known = json.loads(flags)
    except ValueError:
        return flags
    return " ".join(name for name, value in known.items() if value) if isinstance(known, dict) else flags
