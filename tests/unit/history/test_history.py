"""The file: rows in, rows out, the schema brought up to date, and what it does when it cannot."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from browser_runtime.contract.messages import Timings
from scheduler.history.history import FIRST_VERSION, ROOM, History, HistoryUnavailable
from tasks.telemetry import batch_up


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "history.duckdb"


def test_rows_come_back_with_utc_times_and_survive_closing(path: Path) -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    with History(path) as history:
        assert (
            history.append(
                [
                    (
                        "runs",
                        {"at": noon, "model": "a", "total_ms": 1.5, "flags": '{"compute_shaders": true}'},
                    ),
                    ("runs", {"at": noon.timestamp() + 1, "model": "b", "ok": False}),
                    ("health", {"score": 99}),
                ]
            )
            == 3
        )
    with History(path) as history:
        rows = history.read('SELECT * FROM runs ORDER BY "at"')
        assert [row["model"] for row in rows] == ["a", "b"]
        assert rows[0]["at"] == datetime(2026, 3, 1, 10) and rows[1]["at"] == datetime(2026, 3, 1, 10, 0, 1)
        assert rows[0]["ok"] is None and rows[1]["ok"] is False
        now = history.read("SELECT h.at FROM health h")[0]["at"]
        assert abs(datetime.now(UTC).replace(tzinfo=None) - now) < timedelta(minutes=1)


def test_all_rows_or_none(path: Path) -> None:
    with History(path) as history:
        for table, column in (("runs", "colour"), ("dreams", "at")):
            with pytest.raises(ValueError, match=f"{column if table == 'runs' else table}"):
                history.append([("runs", {"model": "a"}), (table, {column: 1})])
        assert history.read("SELECT count(*) AS n FROM runs") == [{"n": 0}]
        rows = [("runs", {"model": "a"}), ("runs", {"model": "b", "colour": 1}), ("dreams", {"at": 0})]
        batches = batch_up(rows)
        assert [history.unknown(batch) for batch in batches] == [["column runs.colour"], ["table dreams"]]
        with history.transaction():
            assert history.append_within(batches) == 2
        assert history.read("SELECT model FROM runs ORDER BY ALL") == [{"model": "a"}, {"model": "b"}]


def test_the_fingerprint_is_of_the_environment_alone(path: Path) -> None:
    same = {
        "browser_build": "Chromium 150",
        "driver": "150.1",
        "adapter": "google swiftshader",
        "os": "Linux",
    }
    rows = [
        same | {"model": "a", "total_ms": 1.0},
        same | {"model": "b", "total_ms": 2.0},
        same | {"browser_build": "Chromium 151"},
        same | {"webinfer_version": "0.2"},
        same | {"fingerprint": "given"},
    ]
    with History(path) as history:
        history.append([("runs", row) for row in rows])
        found = [row["fingerprint"] for row in history.read("SELECT fingerprint FROM runs")]
    assert found[0] == found[1] and len(set(found)) == 4 and found[4] == "given"


def test_only_one_process_may_have_it(path: Path) -> None:
    code = f"from scheduler.history.history import History; History({str(path)!r})"
    with History(path):
        done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "HistoryUnavailable" in done.stderr and str(path) in done.stderr and done.returncode == 1
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_no_history_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear all, " * 1000)
    with pytest.raises(HistoryUnavailable, match="letter"):
        History(path)
    assert path.read_text().startswith("Dear all")
    with pytest.raises(HistoryUnavailable):
        History(path / "below" / "a.duckdb")


def first_history(path: Path, no_steps: Path) -> History:
    """A history as the first version made it; a folder without steps."""
    return History(path, migrations=no_steps, schema=Path(__file__).parent / "schema_1.sql")


def test_an_older_file_gets_every_step_once(tmp_path: Path, path: Path) -> None:
    steps = tmp_path / "steps"
    steps.mkdir()
    with first_history(path, tmp_path) as history:
        history.append([("runs", {"model": "old"})])
    (steps / "002_colours.sql").write_text("ALTER TABLE runs ADD COLUMN colour VARCHAR DEFAULT 'grey';")
    (steps / "003_more.sql").write_text(
        'CREATE TABLE dreams ("at" TIMESTAMP); INSERT INTO dreams VALUES (now()::TIMESTAMP);'
    )
    for _ in range(2):
        with History(path, migrations=steps) as history:
            assert history.read("SELECT model, colour FROM runs") == [{"model": "old", "colour": "grey"}]
            assert history.read("SELECT count(*) AS n FROM dreams") == [{"n": 1}]
            assert history.read("SELECT version FROM schema_version") == [{"version": 3}]


def test_a_step_that_fails_changes_nothing(tmp_path: Path, path: Path) -> None:
    first_history(path, tmp_path / "none").close()
    (tmp_path / "002_half.sql").write_text(
        "ALTER TABLE runs ADD COLUMN colour VARCHAR; SELECT no_such_column;"
    )
    with pytest.raises(Exception, match="no_such_column"):
        History(path, migrations=tmp_path)
    with History(path) as history:
        assert "colour" not in str(history.read("SELECT column_name FROM information_schema.columns"))


def test_the_schema_and_its_steps_agree(tmp_path: Path, path: Path) -> None:
    steps = sorted((ROOM / "migrations").glob("*.sql"))
    assert [int(step.name[:3]) for step in steps] == list(
        range(FIRST_VERSION + 1, FIRST_VERSION + 1 + len(steps))
    )
    old = tmp_path / "old.duckdb"
    with first_history(old, tmp_path / "none") as history:
        assert history.read("SELECT version FROM schema_version") == [{"version": FIRST_VERSION}]
    columns = "SELECT table_name, column_name, data_type FROM information_schema.columns ORDER BY ALL"
    with History(old) as brought_up, History(path) as new:
        assert brought_up.read(columns) == new.read(columns)


def test_every_query_is_known_by_name_alone(path: Path) -> None:
    with History(path) as history:
        for name in ("no_such", "../history", "report.sql", ""):
            with pytest.raises(ValueError, match="no query"):
                history.query(name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    with History(tmp_path_factory.mktemp("whole") / "history.duckdb") as history:
        yield history


@pytest.mark.parametrize("query", sorted(path.stem for path in (ROOM / "queries").glob("*.sql")))
def test_every_query_is_sql_that_the_schema_knows(whole: History, query: str) -> None:
    whole.check(query)


def test_every_measured_time_has_a_column(path: Path) -> None:
    with History(path) as history:
        named = history.read("SELECT column_name FROM information_schema.columns WHERE table_name = 'runs'")
    assert {step.name for step in fields(Timings)} <= {row["column_name"] for row in named}
