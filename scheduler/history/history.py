"""The history: a DuckDB file of everything that was measured. The only module that imports duckdb.

One process may hold the file, and one thread of it may use a `History`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import duckdb

from browser_runtime.errors import InferenceError
from scheduler.history.fingerprints import with_fingerprint
from tasks.telemetry import Row

ROOM = Path(__file__).parent
FIRST_VERSION = 1
# The database shares its machine with browsers.
MAX_MEMORY_MB = 1024
# Nothing is fetched from the internet. Without its time zones, now() is UTC on every machine.
OPTIONS: dict[str, Any] = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}


# A locked or foreign file, a full disk (which shows at the commit), too little memory.
UNAVAILABLE = (
    duckdb.IOException,
    duckdb.TransactionException,
    duckdb.OutOfMemoryException,
    duckdb.FatalException,
    OSError,
)


class HistoryUnavailable(InferenceError):
    """The history {0} cannot be used: {1}"""

    retryable = True


class History:
    """An open history, its schema up to date. Raises HistoryUnavailable where the file cannot be had."""

    def __init__(
        self,
        path: Path | str,
        *,
        max_memory_mb: int = MAX_MEMORY_MB,
        schema: Path = ROOM / "schema.sql",
        migrations: Path = ROOM / "migrations",
    ) -> None:
        self.path = Path(path)
        self._schema, self._migrations = schema, migrations
        self.broken = False
        """After a fatal failure the file has to be opened anew."""
        with self._told():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = duckdb.connect(str(self.path), config=OPTIONS | {"memory_limit": f"{max_memory_mb}MB"})
        try:
            self.migrate()
            self._columns = self._read_columns()
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Write everything into the file itself and let go of it."""
        self._db.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Foreign errors become HistoryUnavailable; what is a defect of ours stays as it is."""
        try:
            yield
        except UNAVAILABLE as error:
            self.broken = self.broken or isinstance(error, duckdb.FatalException)
            raise HistoryUnavailable(str(self.path), str(error).splitlines()[0]) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        with self._told():
            self._db.begin()
            try:
                yield
                self._db.commit()
            except BaseException:
                self._roll_back()
                raise

    def _roll_back(self) -> None:
        try:
            self._db.rollback()
        except duckdb.Error:  # a commit that failed has ended the transaction already
            return

    # --- schema

    def migrate(self) -> int:
        """Bring the schema up to date; its version now."""
        steps = sorted(self._migrations.glob("[0-9][0-9][0-9]_*.sql"))
        newest = max((int(step.name[:3]) for step in steps), default=FIRST_VERSION)
        with self._told():
            self._db.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
            found = self._db.execute("SELECT version FROM schema_version").fetchone()
        if found is None:
            self._step(self._schema.read_text(), newest)
            return newest
        for step in steps:
            if int(step.name[:3]) > int(found[0]):
                self._step(step.read_text(), int(step.name[:3]))
        return newest

    def _step(self, sql: str, version: int) -> None:
        with self.transaction():
            self._db.execute(sql)
            self._db.execute("DELETE FROM schema_version")
            self._db.execute("INSERT INTO schema_version VALUES ($1)", [version])

    def _read_columns(self) -> dict[str, dict[str, str]]:
        """Type by column by table."""
        found: dict[str, dict[str, str]] = {}
        sql = "SELECT table_name, column_name, data_type FROM information_schema.columns"
        for table, column, kind in self._db.execute(sql).fetchall():
            found.setdefault(table, {})[column] = kind
        return found

    # --- rows

    def append(self, rows: Iterable[Row]) -> int:
        """Keep `rows`, all or none; how many there were. Raises ValueError for an unknown table or column.

        `at` and other times are seconds since 1970 or datetimes (naive ones are UTC); missing is now.
        """
        with self.transaction():
            return self.append_within(rows)

    def append_within(self, rows: Iterable[Row]) -> int:
        """`append` inside a transaction that the caller began."""
        now, n = datetime.now(UTC).replace(tzinfo=None), 0
        for table, values in _by_table(rows).items():
            known = self._columns.get(table)
            if known is None:
                raise ValueError(f"the history has no table {table!r}")
            self._append_table(table, known, values, now)
            n += len(values)
        return n

    def fit(self, rows: Iterable[Row]) -> tuple[list[Row], dict[str, int]]:
        """The rows without what this version does not know, and how often each of that was met.

        A newer worker may know more columns, or more tables: the rows of those are left out.
        """
        fitting: list[Row] = []
        strange: dict[str, int] = {}
        for table, values in rows:
            known = self._columns.get(table)
            if known is None:
                strange[f"table {table}"] = strange.get(f"table {table}", 0) + 1
            elif values.keys() <= known.keys():
                fitting.append((table, values))
            else:
                fitting.append((table, {name: values[name] for name in values if name in known}))
                for name in values.keys() - known.keys():
                    met = f"column {table}.{name}"
                    strange[met] = strange.get(met, 0) + 1
        return fitting, strange

    def _append_table(
        self, table: str, known: dict[str, str], values: list[dict[str, Any]], now: datetime
    ) -> None:
        columns = _columns_of(values)
        unknown = [name for name in columns if name not in known]
        if unknown:
            raise ValueError(f"the history's table {table} has no column {unknown[0]!r}")
        if "fingerprint" in known:
            columns = list(dict.fromkeys([*columns, "fingerprint"]))
            values = [with_fingerprint(row) for row in values]
        columns = list(dict.fromkeys(["at", *columns]))
        times = [column for column in columns if known[column] == "TIMESTAMP"]
        appender = self._db.appender(table, columns=columns)
        appender.append_rows([_in_order(row, columns, times, now) for row in values])
        appender.flush()

    # --- questions

    def query(self, name: str, **params: Any) -> list[dict[str, Any]]:
        """The rows of `queries/<name>.sql` by column name; times are naive UTC datetimes."""
        return self.read(find_query(name), params)

    def check(self, name: str) -> None:
        """Raises duckdb.Error where a query does not fit the schema."""
        self._db.execute(f"PREPARE checked AS {find_query(name)}")
        self._db.execute("DEALLOCATE checked")

    def read(self, sql: str, params: dict[str, Any] | list[Any] | None = None) -> list[dict[str, Any]]:
        """The rows of one statement by column name."""
        with self._told():
            cursor = self._db.execute(sql, params or None)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@lru_cache(maxsize=256)
def find_query(name: str) -> str:
    """The text of a query. Raises ValueError where there is none."""
    path = ROOM / "queries" / f"{name}.sql"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or not path.is_file():
        raise ValueError(f"the history has no query {name!r}")
    return path.read_text()


def _by_table(rows: Iterable[Row]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for table, values in rows:
        found.setdefault(table, []).append(values)
    return found


def _columns_of(rows: list[dict[str, Any]]) -> list[str]:
    """Every column that any of the rows has; rows of one kind mostly have the same."""
    found = dict.fromkeys(rows[0])
    for row in rows:
        if row.keys() != found.keys():
            found |= dict.fromkeys(row)
    return list(found)


def _in_order(row: dict[str, Any], columns: list[str], times: list[str], now: datetime) -> list[Any]:
    get = row.get
    values = [get(name) for name in columns]
    for name in times:
        place = columns.index(name)
        values[place] = _time(values[place])
    if values[0] is None:  # `at`
        values[0] = now
    return values


def _time(value: Any) -> datetime | None:
    """Naive UTC, as the file keeps it."""
    if isinstance(value, (int, float)):
        return datetime.fromtimestamp(value, UTC).replace(tzinfo=None)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    return None if value is None else datetime.fromisoformat(str(value))
