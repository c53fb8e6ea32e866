"""Retention: runs are kept for some weeks, then summed up by hour, then deleted. And the export."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from scheduler.history.history import ROOM, History

# Kept for some weeks; runs are summed up before they are deleted.
SHORT = ("runs", "loads", "connections", "health")
# Few rows, kept for a year.
LONG = ("runs_hourly", "scaling", "alerts", "routing", "changes", "experiments")


def retain(history: History, now: datetime, days: int, long_days: int) -> dict[str, int]:
    """Sum up and delete old rows, in one transaction; returns the rows deleted by table. `now`: naive UTC.

    Rows that arrive late for an hour that was summed up make a second row of that hour.
    """
    until = (now - timedelta(days=days)).replace(minute=0, second=0, microsecond=0)
    long_ago = now - timedelta(days=long_days)
    with history.transaction():
        history.read((ROOM / "rollup.sql").read_text(), {"until": until})
        gone = {table: _delete(history, table, until) for table in SHORT}
        gone |= {table: _delete(history, table, long_ago) for table in LONG}
        gone["capabilities"] = _delete_outdated(history, long_ago)
        gone["sources"] = _delete(history, "sources", until)
    history.read("CHECKPOINT")
    return gone


def _delete(history: History, table: str, before: datetime) -> int:
    rows = history.read(f'DELETE FROM {table} WHERE "at" < $1', [before])  # noqa: S608 - a constant's table
    return int(rows[0]["Count"])


def _delete_outdated(history: History, before: datetime) -> int:
    """Delete old capabilities that have a newer row; the latest one stays valid, whatever its age."""
    newer = "n.browser = capabilities.browser AND n.feature = capabilities.feature AND n.at > capabilities.at"
    rows = history.read(
        f'DELETE FROM capabilities WHERE "at" < $1 AND EXISTS (FROM capabilities n WHERE {newer})',  # noqa: S608
        [before],
    )
    return int(rows[0]["Count"])


def export(history: History, folder: Path) -> dict[str, int]:
    """Write each table as `<table>.parquet` into `folder`, which is created; returns the rows by table."""
    folder.mkdir(parents=True, exist_ok=True)
    return {table: _export_table(history, table, folder / f"{table}.parquet") for table in tables(history)}


def tables(history: History) -> list[str]:
    """The names of the tables with recorded rows."""
    inner = {"schema_version", "drained", "sources"}
    rows = history.read("SELECT table_name FROM information_schema.tables ORDER BY table_name")
    return [row["table_name"] for row in rows if row["table_name"] not in inner]


def _export_table(history: History, table: str, path: Path) -> int:
    quoted = str(path).replace("'", "''")
    rows = history.read(f"COPY {table} TO '{quoted}' (FORMAT parquet, COMPRESSION zstd)")
    return int(rows[0]["Count"])
