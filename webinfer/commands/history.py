"""`webinfer history`: row counts of the history, and its export."""

from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import click
import redis
from celery.exceptions import TimeoutError as ResultTimeout
from rich.table import Table

from browser_runtime.contract.errors import BadInput, NotReady
from scheduler.experiments.reading import TABLES
from scheduler.history import retention
from scheduler.history.asking import look_up, no_analytics, read_or_ask
from scheduler.history.draining import Backlog, backlog
from scheduler.history.history import QueryRow
from scheduler.settings import SchedulerSettings
from tasks.app import ANALYTICS_QUEUE, app
from webinfer.commands.parameters import AS_JSON
from webinfer.tables import output_console, plain_text

# A million runs take a few seconds; the analytics worker may be busy with a report before.
EXPORT_TIMEOUT_S = 120.0
# Kinds come from files and through Redis; of a file's name they are a part.
KIND_NAME = re.compile(r"[^a-z-]+")


@click.group("history")
def command() -> None:
    """Show how much was recorded, or export it.

    The history is a DuckDB file (WEBINFER_HISTORY_PATH) with every run, model load, browser session, decision
    and alert. While an analytics worker has the file open, that worker is asked.
    """


@command.command("status")
@AS_JSON
def status(as_json: bool) -> None:
    """Show each table's row count and time span, and how many rows are waiting or were dropped."""
    settings = SchedulerSettings()
    tables, losses = look_up("history_tables", settings), look_up("history_losses", settings)
    waiting = _backlog()
    dropped = sum(row["n_dropped"] for row in losses)
    if as_json:
        path = str(settings.history_path)
        plain = {"path": path, "tables": tables, "waiting": waiting, "n_dropped": dropped}
        click.echo(json.dumps(plain, indent=2, default=str))
    else:
        _show(settings.history_path, tables, waiting, dropped)


def _backlog() -> Backlog | None:
    """The entries waiting in the stream; None if no Redis answers."""
    try:
        return backlog(app.redis, app.settings.redis_prefix)
    except redis.RedisError:
        return None


def _show(path: Path, tables: list[QueryRow], waiting: Backlog | None, dropped: int) -> None:
    table = Table("table", "rows", "oldest (UTC)", "newest (UTC)", title=str(path))
    for row in tables:
        times = (str(row[name] or "-").split(".")[0] for name in ("oldest", "newest"))
        table.add_row(row["table"], str(row["n_rows"]), *times)
    console = output_console()
    console.print(table)
    stream = "no Redis answers" if waiting is None else f"{waiting['n_entries']} entries wait in the stream"
    console.print(f"{stream}; {dropped} rows were dropped on their way")


@command.command("export")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def export(folder: Path) -> None:
    """Write every table of the history as a Parquet file into FOLDER, which must be new or empty."""
    if folder.exists() and any(folder.iterdir()):
        raise BadInput("FOLDER", f"{str(folder)!r}, which holds files", "new or empty")
    read_or_ask(
        SchedulerSettings(),
        lambda history: retention.export(history, folder),
        lambda: _move(_export_by_owner(), folder),
    )
    for path in sorted(folder.glob("*.parquet")):
        click.echo(f"{path} ({path.stat().st_size} bytes)")


@command.command("experiments")
@click.option("--kind", type=click.Choice(sorted(TABLES)), help="Only these. Default: all kinds.")
@click.option(
    "--latest",
    "n",
    default=20,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="Most to list or write.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write each as a JSON file into this folder, as its command's --json does.",
)
def experiments(kind: str | None, n: int, folder: Path | None) -> None:
    """List what compare, matrix, gate, load and bench peers found; write it as JSON files."""
    rows = look_up("laboratory_documents", kind=kind, max_rows=n)
    table = Table("at (UTC)", "kind", "models", "verdict")
    for row in rows:
        at = datetime.fromtimestamp(row["at_s"], UTC)
        words = (row["kind"], row["model"], row["verdict"])
        table.add_row(at.strftime("%Y-%m-%d %H:%M"), *map(plain_text, words))
    output_console().print(table)
    if folder is not None:
        for row in rows:
            click.echo(_write_experiment(row, folder))


def _write_experiment(row: QueryRow, folder: Path) -> Path:
    """The new file of one experiment."""
    from webinfer.bench.laboratory.documents import write_document

    folder.mkdir(parents=True, exist_ok=True)
    at = datetime.fromtimestamp(row["at_s"], UTC)
    path = folder / f"{KIND_NAME.sub('-', row['kind'])}-{at:%Y%m%dT%H%M%S.%f}.json"
    path.write_text(write_document(json.loads(row["document"])), encoding="utf-8")
    return path


def _export_by_owner() -> Path:
    """The folder that the analytics worker wrote."""
    result = app.send_task("scheduler.history.export", queue=ANALYTICS_QUEUE, expires=EXPORT_TIMEOUT_S)
    try:
        return Path(str(result.get(timeout=EXPORT_TIMEOUT_S)))
    except ResultTimeout as error:
        raise no_analytics() from error


def _move(written: Path, folder: Path) -> None:
    if not written.is_dir():
        raise NotReady(
            f"The analytics worker wrote the export on its own machine, into {written}", "fetch it there"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for path in written.iterdir():
        shutil.move(path, folder / path.name)
    written.rmdir()
