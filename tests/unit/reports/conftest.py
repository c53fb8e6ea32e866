"""The report of a small, known history."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scheduler.history.history import History
from scheduler.reports.facts import Report
from scheduler.reports.gathering import gather
from tests.unit.reports.histories import N_DAYS, NOW_S, make_history


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """The history; tests only read it."""
    with make_history(tmp_path_factory.mktemp("history") / "history.duckdb") as made:
        yield made


@pytest.fixture(scope="module")
def report(history: History) -> Report:
    """Its report over all of its days."""
    return gather(history.query, NOW_S, N_DAYS)
