"""Events as rows of the history."""

from __future__ import annotations

import json
from pathlib import Path

from browser_runtime.contract.sharing import KeptResults, LaneSharing, SharedGraphs
from browser_runtime.contract.status import LaneStatus, PoolStatus, SessionStatus
from browser_runtime.contract.vocabulary import Browser
from scheduler.history.history import History
from scheduler.reports.gathering import gather
from tasks.telemetry.rows import health_rows

NOW_S = 1_795_176_000.0


def test_what_a_sessions_lanes_share_comes_to_the_report_added_up(tmp_path: Path) -> None:
    graphs = SharedGraphs(n_parts=2, n_references=3, size_bytes=700, saved_bytes=200)
    lanes = (
        LaneStatus(sharing=LaneSharing(graphs, KeptResults(n_results=4, size_bytes=40, hits=5, misses=6))),
        LaneStatus(sharing=LaneSharing(graphs)),
    )
    sessions = (
        SessionStatus("chrome-1", Browser.CHROME, lanes=lanes),
        SessionStatus("chrome-2", Browser.CHROME, lanes=(LaneStatus(),)),
    )
    rows = list(health_rows(PoolStatus(Browser.CHROME, sessions=sessions), "w@h"))
    assert [row["sharing"] is None for _, row in rows] == [False, True]
    assert json.loads(rows[0][1]["sharing"])["graphs"]["n_references"] == 6
    with History(tmp_path / "h.duckdb") as history:
        history.append([(table, row | {"at": NOW_S - 60}) for table, row in rows])
        (found,) = gather(history.query, NOW_S, 1).sharing
    assert (found.n_sessions, found.n_graphs, found.n_uses, found.saved_bytes) == (2, 4, 6, 400)
    assert (found.n_results, found.result_bytes, found.hits, found.misses) == (4, 40, 5, 6)
