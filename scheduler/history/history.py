"""The history: a DuckDB file of everything measured. Only this module imports duckdb, where it is used.

Only one process can open the file, and only one of its threads may use a `History`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from browser_runtime.contract.errors import InferenceError
from scheduler.history.preparing import prepare
from tasks.telemetry import Row, RowBatch, batch_up

if TYPE_CHECKING:
    import duckdb

ROOM = Path(__file__).parent
FIRST_VERSION = 1
# The database shares the machine with browsers.
MAX_MEMORY_MB = 1024
# No extension is downloaded. Without that of time zones, now() is UTC on every machine.
OPTIONS: dict[str, Any] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}


def _unavailable() -> tuple[type[Exception], ...]:
    """A locked file, another kind of file, a full disk (reported at the commit), too little memory."""
    import duckdb

    file = (duckdb.IOException, duckdb.TransactionException)
    return (*file, duckdb.OutOfMemoryException, duckdb.FatalException, OSError)


def _connect(path: Path, max_memory_mb: int) -> duckdb.DuckDBPyConnection:
    import duckdb

    return duckdb.connect(str(path), config=OPTIONS | {"memory_limit": f"{max_memory_mb}MB"})


QueryRow = dict[str, Any]
"""One row of a query, by column name."""


class HistoryUnavailable(InferenceError):
    """The history {0} cannot be used: {1}"""


class History:
    """An open history with an up-to-date schema. Raises HistoryUnavailable if the file cannot be opened."""

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
        """True after a fatal failure; the file must then be opened again."""
        with self._translated():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = _connect(self.path, max_memory_mb)
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
        """Write everything to the file and close it."""
        self._db.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn errors of the file or system into HistoryUnavailable; others pass."""
        try:
            yield
        except _unavailable() as error:
            import duckdb

            self.broken = self.broken or isinstance(error, duckdb.FatalException)
            raise HistoryUnavailable(str(self.path), str(error).splitlines()[0]) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction: commits at the end, rolls back on an error."""
        with self._translated():
            self._db.begin()
            try:
                yield
                self._db.commit()
            except BaseException:
                self._roll_back()
                raise

    def _roll_back(self) -> None:
        import duckdb

        try:
            self._db.rollback()
        except duckdb.Error:  # a failed commit has ended the transaction
            return

    # --- schema

    def migrate(self) -> int:
        """Bring the schema up to date; returns its version."""
        steps = sorted(self._migrations.glob("[0-9][0-9][0-9]_*.sql"))
        newest = max((int(step.name[:3]) for step in steps), default=FIRST_VERSION)
        with self._translated():
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
        """The columns of each table with their types."""
        found: dict[str, dict[str, str]] = {}
        sql = "SELECT table_name, column_name, data_type FROM information_schema.columns"
        for table, column, kind in self._db.execute(sql).fetchall():
            found.setdefault(table, {})[column] = kind
        return found

    # --- rows

    def append(self, rows: Iterable[Row]) -> int:
        """Store `rows`, all or none; returns their number. Raises ValueError for rows the tables cannot hold.

        `at` and other times are seconds since 1970 or datetimes (naive ones are UTC); the default is now.
        """
        batches = batch_up(rows)
        for batch in batches:
            if unknown := self.unknown(batch):
                raise ValueError(f"the history has no {unknown[0]}")
        with self.transaction():
            return self.append_within(batches)

    def unknown(self, batch: RowBatch) -> list[str]:
        """The table, or the columns, of a batch that this version does not know."""
        known = self._columns.get(batch.table)
        if known is None:
            return [f"table {batch.table}"]
        return [f"column {batch.table}.{name}" for name in batch.columns if name not in known]

    def append_within(self, batches: Iterable[RowBatch]) -> int:
        """Store the known parts of `batches` in the caller's transaction; returns the number of rows.

        Rows are converted in place, so a batch can be appended only once. Raises ValueError for a wrong
        value.
        """
        now, n = datetime.now(UTC).replace(tzinfo=None), 0
        for (table, columns), rows in _alike(batches).items():
            if table in self._columns:
                prepared = prepare(list(columns), rows, self._columns[table], now)
                self._append_prepared(table, *prepared)
                n += len(rows)
        return n

    def _append_prepared(self, table: str, columns: list[str], rows: list[list[Any]]) -> None:
        import duckdb

        try:
            appender = self._db.appender(table, columns=columns)
            appender.append_rows(rows)
            appender.flush()
        except (duckdb.DataError, duckdb.IntegrityError) as error:
            raise ValueError(f"rows that {table} cannot hold: {str(error).splitlines()[0]}") from error

    # --- queries

    def query(self, name: str, **params: Any) -> list[QueryRow]:
        """The rows of `queries/<name>.sql` by column name; times are naive UTC datetimes."""
        return self.read(find_query(name), params)

    def check(self, name: str) -> None:
        """Raises duckdb.Error if a query does not fit the schema."""
        self._db.execute(f"PREPARE checked AS {find_query(name)}")
        self._db.execute("DEALLOCATE checked")

    def read(self, sql: str, params: Mapping[str, Any] | list[Any] | None = None) -> list[QueryRow]:
        """The rows of one statement by column name."""
        with self._translated():
            cursor = self._db.execute(sql, params or None)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@lru_cache(maxsize=256)
def find_query(name: str) -> str:
    """The SQL of a query. Raises ValueError if there is none of that name."""
    path = ROOM / "queries" / f"{name}.sql"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or not path.is_file():
        raise ValueError(f"the history has no query {name!r}")
    return path.read_text()


def _alike(batches: Iterable[RowBatch]) -> dict[tuple[str, tuple[str, ...]], list[list[Any]]]:
    """Rows grouped by table and columns, to append each group at once."""
    found: dict[tuple[str, tuple[str, ...]], list[list[Any]]] = {}
    for batch in batches:
        found.setdefault((batch.table, tuple(batch.columns)), []).extend(batch.rows)
    return found
