"""Experiments as the query `experiments.sql` of the history gives them. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scheduler.experiments.reading import read_table
from scheduler.experiments.tables import ResultTable

# Each is read with its document; of earlier ones a page shows the verdict.
MAX_TABLES = 12


@dataclass(frozen=True, slots=True)
class Experiment:
    """One run of the laboratory."""

    at_s: float
    """When it ended, in seconds since 1970, UTC."""
    kind: str
    model: str
    verdict: str
    machine: str
    document: Any = None
    """As docs/laboratory.md has it, without blocks, sessions and single latencies; None: an earlier one."""

    @property
    def key(self) -> str:
        """A name of its own, for a page."""
        return f"{self.kind}-{self.at_s:.3f}"

    @property
    def table(self) -> ResultTable | None:
        """What was measured, if its document is there and can be read."""
        return None if self.document is None else read_table(self.document)


def read_experiments(rows: Iterable[Mapping[str, Any]]) -> list[Experiment]:
    """Experiments with their documents read from JSON."""
    return [Experiment(**{**row, "document": _read(row["document"])}) for row in rows]


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(text)  # 1e999 is JSON, but no JSON can be written of it
    return value


def _read(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
