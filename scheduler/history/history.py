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

from browser_runtime.contract.errors import InferenceError
from scheduler.history.preparing import prepare
from tasks.telemetry import Row, RowBatch, batch_up

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


QueryRow = dict[str, Any]
"""One row of a query, by column name."""


class HistoryUnavailable(InferenceError):
    """The history {0} cannot be used: {1}"""


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
        """Keep `rows`, all or none; how many. Raises ValueError for what the tables cannot hold.

        `at` and other times are seconds since 1970 or datetimes (naive ones are UTC); missing is now.
        """
        batches = batch_up(rows)
        for batch in batches:
            if strange := self.unknown(batch):
                raise ValueError(f"the history has no {strange[0]}")
        with self.transaction():
            return self.append_within(batches)

    def unknown(self, batch: RowBatch) -> list[str]:
        """What of a batch this version does not know: its table, else some of its columns."""
        known = self._columns.get(batch.table)
        if known is None:
            return [f"table {batch.table}"]
        return [f"column {batch.table}.{name}" for name in batch.columns if name not in known]

    def append_within(self, batches: Iterable[RowBatch]) -> int:
        """Keep what is known of `batches`, inside a transaction that the caller began; how many rows.

        The rows are made ready in place: a batch can be appended once. Raises ValueError for a wrong value.
        """
        now, n = datetime.now(UTC).replace(tzinfo=None), 0
        for (table, columns), rows in _alike(batches).items():
            if table in self._columns:
                prepared = prepare(list(columns), rows, self._columns[table], now)
                self._append_prepared(table, *prepared)
                n += len(rows)
        return n

    def _append_prepared(self, table: str, columns: list[str], rows: list[list[Any]]) -> None:
        try:
            appender = self._db.appender(table, columns=columns)
            appender.append_rows(rows)
            appender.flush()
        except (duckdb.DataError, duckdb.IntegrityError) as error:
            raise ValueError(f"rows that {table} cannot hold: {str(error).splitlines()[0]}") from error

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


def _alike(batches: Iterable[RowBatch]) -> dict[tuple[str, tuple[str, ...]], list[list[Any]]]:
    """Rows by table and columns, so that each is appended at once."""
    found: dict[tuple[str, tuple[str, ...]], list[list[Any]]] = {}
    for batch in batches:
        found.setdefault((batch.table, tuple(batch.columns)), []).extend(batch.rows)
    return found
