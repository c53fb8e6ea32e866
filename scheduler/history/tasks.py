"""The history's tasks; all run in the analytics worker, one at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from celery.signals import worker_shutdown
from celery.utils.log import get_logger

from scheduler.history import retention
from scheduler.history.draining import Drain
from scheduler.history.history import QueryRow, find_query
from scheduler.history.owner import close_history, history
from scheduler.settings import SchedulerSettings
from tasks.app import app

log = get_logger(__name__)

# After this time other tasks have their turn; the rest stays in the stream.
DRAIN_BUDGET_S = 5.0


@app.task(name="scheduler.history.drain")
def drain() -> dict[str, int]:
    """Move the entries of the stream into the file."""
    done = Drain(app.redis, app.settings.redis_prefix, history()).run(DRAIN_BUDGET_S)
    if done.n_dropped:
        log.warning("rows dropped before the drain: %s", done.n_dropped)
    return asdict(done)


@app.task(name="scheduler.history.query")
def query(name: str, params: Mapping[str, Any]) -> list[QueryRow]:
    """The rows of one of `queries/*.sql`; senders cannot give SQL of their own."""
    find_query(name)
    return history().query(name, **params)


@app.task(name="scheduler.history.retain")
def retain() -> dict[str, int]:
    """Sum up and delete old rows."""
    settings = SchedulerSettings()
    now = datetime.now(UTC).replace(tzinfo=None)
    return retention.retain(history(), now, settings.history_days, settings.history_long_days)


@app.task(name="scheduler.history.export")
def export() -> str:
    """Write every table as Parquet into a new folder beside the file; returns its path.

    This process chooses the folder, so that senders of tasks cannot write elsewhere.
    """
    home = SchedulerSettings().history_path.parent
    folder = Path(tempfile.mkdtemp(prefix="export-", dir=home))
    retention.export(history(), folder)
    return str(folder)


@worker_shutdown.connect
def _let_go(**_: Any) -> None:
    close_history()
