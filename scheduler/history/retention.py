"""What the history keeps, and for how long: runs one by one, then as hourly figures, then not at all."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from scheduler.history.history import ROOM, History

# Kept one by one for some weeks; runs are rolled up before they go.
SHORT = ("runs", "loads", "connections", "health")
# Few rows, and worth a year.
LONG = ("runs_hourly", "scaling", "alerts", "routing", "changes")


def retain(history: History, now: datetime, days: int, long_days: int) -> dict[str, int]:
    """Roll up and delete what is too old; rows deleted by table. `now`: naive UTC.

    All or nothing. What arrives late for an hour that was rolled up makes a second row of that hour.
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
    """A capability stays true until something else is said of it, however long ago it was found."""
    newer = "n.browser = capabilities.browser AND n.feature = capabilities.feature AND n.at > capabilities.at"
    rows = history.read(
        f'DELETE FROM capabilities WHERE "at" < $1 AND EXISTS (FROM capabilities n WHERE {newer})',  # noqa: S608
        [before],
    )
    return int(rows[0]["Count"])


def export(history: History, folder: Path) -> dict[str, int]:
    """Write each table as `<table>.parquet` into `folder`, which is made; rows by table."""
    folder.mkdir(parents=True, exist_ok=True)
    return {table: _export_table(history, table, folder / f"{table}.parquet") for table in tables(history)}


def tables(history: History) -> list[str]:
    """The tables that hold rows of what happened."""
    inner = {"schema_version", "drained", "sources"}
    rows = history.read("SELECT table_name FROM information_schema.tables ORDER BY table_name")
    return [row["table_name"] for row in rows if row["table_name"] not in inner]


def _export_table(history: History, table: str, path: Path) -> int:
    quoted = str(path).replace("'", "''")
    rows = history.read(f"COPY {table} TO '{quoted}' (FORMAT parquet, COMPRESSION zstd)")
    return int(rows[0]["Count"])
