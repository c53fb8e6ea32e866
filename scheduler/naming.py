"""How a series is said to a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def name_series(series: Mapping[str, Any]) -> str:
    """A series in one line: model, browser, backend and so on; what is empty or usual is left out."""
    said = {name: str(value) for name, value in series.items() if value not in (None, "", "{}")}
    if "batch_size" in said:
        said["batch_size"] = f"batch {said['batch_size']}"
    return " ".join(said.values())
