"""Old runs become hourly figures and then go; everything can be taken out as Parquet."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from statistics import median

import pytest

from scheduler.history.history import History
from scheduler.history.retention import export, retain, tables

NOW = datetime(2026, 5, 1, 12, 30)
FLAGS = '{"compute_shaders":true}'


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history.duckdb")


def run(days_ago: float, ms: float, **more: object) -> tuple[str, dict[str, object]]:
    row = {"at": NOW - timedelta(days=days_ago), "model": "vit", "browser": "chrome", "flags": FLAGS}
    return "runs", row | {"total_ms": ms + 5, "queue_ms": 5.0, "compute_ms": ms, "ok": True} | more


def test_old_runs_are_rolled_up_by_hour_and_environment(history: History) -> None:
    times = [10.0, 12.0, 50.0, 11.0, 13.0]
    history.append([run(40 + number / 1e4, ms) for number, ms in enumerate(times)])
    history.append([run(40, 99.0, browser_build="Chromium 151"), run(40, 1.0, ok=False), run(1, 10.0)])
    with history:
        gone = retain(history, NOW, days=30, long_days=365)
        assert gone["runs"] == 7
        assert [row["total_ms"] for row in history.read("SELECT total_ms FROM runs")] == [15.0]
        rows = history.read("SELECT * FROM runs_hourly ORDER BY n DESC")
        assert [(row["n"], row["n_failed"]) for row in rows] == [(6, 1), (1, 0)]
        assert rows[0]["service_p50_ms"] == rows[0]["compute_p50_ms"] == median(times)
        assert rows[0]["total_p50_ms"] == median(times) + 5 and rows[0]["flags"] == FLAGS
        assert rows[0]["at"] == (NOW - timedelta(days=40)).replace(minute=0)
        assert rows[0]["fingerprint"] != rows[1]["fingerprint"]
        assert retain(history, NOW, 30, 365)["runs"] == 0
        assert history.read("SELECT sum(n) AS n FROM runs_hourly") == [{"n": 7}]
        for later, n in ((200, 8), (400, None)):
            retain(history, NOW + timedelta(days=later), 30, 365)
            assert history.read("SELECT sum(n) AS n FROM runs_hourly") == [{"n": n}]


def test_what_is_true_stays_however_old(history: History) -> None:
    at = {"old": NOW - timedelta(days=800), "older": NOW - timedelta(days=900)}
    rows = [
        ("chrome", "webgpu", "missing", "older"),
        ("chrome", "webgpu", "proved", "old"),
        ("edge", "webgpu", "proved", "older"),
    ]
    with history:
        history.append(
            ("capabilities", {"at": at[when], "browser": b, "feature": f, "value": v})
            for b, f, v, when in rows
        )
        history.append([("alerts", {"at": at["old"], "key": "a"}), ("alerts", {"at": NOW, "key": "b"})])
        gone = retain(history, NOW, 30, 365)
        assert gone["capabilities"] == 1 and gone["alerts"] == 1
        left = history.read("SELECT browser, value FROM capabilities ORDER BY browser")
        assert left == [{"browser": "chrome", "value": "proved"}, {"browser": "edge", "value": "proved"}]


def test_an_export_holds_every_table(history: History, tmp_path: Path) -> None:
    folder = tmp_path / "it's here"
    with history:
        history.append([run(1, 10.0), run(2, 11.0), ("health", {"score": 88.0})])
        n_rows = export(history, folder)
        assert n_rows["runs"] == 2 and n_rows["health"] == 1 and set(n_rows) == set(tables(history))
        assert {path.stem for path in folder.iterdir()} == set(n_rows)
        quoted = str(folder / "runs.parquet").replace("'", "''")
        assert history.read(f"SELECT median(total_ms) AS ms FROM '{quoted}'") == [{"ms": 15.5}]
        told = {row["table"]: row["n_rows"] for row in history.query("history_tables")}
        assert told == n_rows
