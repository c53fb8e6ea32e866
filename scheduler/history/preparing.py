"""Converts rows as they arrive to rows of the tables. Pure, but in place, since there are many."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from scheduler.history.fingerprints import PARTS, fingerprint

TIME = "TIMESTAMP"


def prepare(
    columns: list[str], rows: list[list[Any]], kinds: Mapping[str, str], now: datetime
) -> tuple[list[str], list[list[Any]]]:
    """(columns, rows) without columns unknown to the table, with times in UTC and a fingerprint.

    `kinds`: the table's column types by name. Raises ValueError for an invalid time.
    """
    columns, rows = _only_known(columns, rows, kinds)
    for place, name in enumerate(columns):
        if kinds[name] == TIME:
            _read_times(rows, place)
    columns = _stamp(columns, rows, now)
    if "fingerprint" in kinds:
        columns = _add_fingerprints(columns, rows)
    return columns, rows


def _only_known(
    columns: list[str], rows: list[list[Any]], kinds: Mapping[str, str]
) -> tuple[list[str], list[list[Any]]]:
    places = [place for place, name in enumerate(columns) if name in kinds]
    if len(places) == len(columns):
        return columns, rows
    return [columns[place] for place in places], [[row[place] for place in places] for row in rows]


def _read_times(rows: list[list[Any]], place: int) -> None:
    try:
        for row in rows:
            value = row[place]
            is_number = isinstance(value, (int, float))
            row[place] = (
                datetime.fromtimestamp(value, UTC).replace(tzinfo=None) if is_number else _naive(value)
            )
    except (OverflowError, OSError) as error:
        raise ValueError(f"an invalid time: {error}") from error


def _naive(value: Any) -> datetime | None:
    """`value` as a naive datetime in UTC; None if it is no time."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    return value if isinstance(value, datetime) else None


def _stamp(columns: list[str], rows: list[list[Any]], now: datetime) -> list[str]:
    """Add the time now to rows without one; returns the columns."""
    if "at" not in columns:
        for row in rows:
            row.append(now)
        return [*columns, "at"]
    place = columns.index("at")
    for row in rows:
        if row[place] is None:
            row[place] = now
    return columns


def _add_fingerprints(columns: list[str], rows: list[list[Any]]) -> list[str]:
    """Add a fingerprint to rows without one; returns the columns."""
    places = [columns.index(part) if part in columns else -1 for part in PARTS]
    given = columns.index("fingerprint") if "fingerprint" in columns else None
    for row in rows:
        found = fingerprint(*[row[place] if place >= 0 else None for place in places])
        if given is None:
            row.append(found)
        elif not row[given]:
            row[given] = found
    return columns if given is not None else [*columns, "fingerprint"]
