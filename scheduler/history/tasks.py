"""The history's tasks; all run in the analytics worker, one at a time."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from celery.signals import worker_shutdown
from celery.utils.log import get_logger

from scheduler.history import retention
from scheduler.history.draining import Drain
from scheduler.history.history import find_query
from scheduler.history.owner import close_history, history
from scheduler.settings import SchedulerSettings
from tasks.app import app

log = get_logger(__name__)

# Then other tasks have their turn; what waits in the stream is not lost.
DRAIN_BUDGET_S = 5.0


@app.task(name="scheduler.history.drain")
def drain() -> dict[str, int]:
    """Move what waits in the stream into the file."""
    done = Drain(app.redis, app.settings.redis_prefix, history()).run(DRAIN_BUDGET_S)
    if done.n_dropped:
        log.warning("%s rows were dropped before they could be read", done.n_dropped)
    return asdict(done)


@app.task(name="scheduler.history.query")
def query(name: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of one of `queries/*.sql`; never SQL of the sender's own."""
    find_query(name)
    return history().query(name, **params)


@app.task(name="scheduler.history.retain")
def retain() -> dict[str, int]:
    """Roll up and delete what is too old."""
    settings = SchedulerSettings()
    now = datetime.now(UTC).replace(tzinfo=None)
    return retention.retain(history(), now, settings.history_days, settings.history_long_days)


@app.task(name="scheduler.history.export")
def export() -> str:
    """Write every table as Parquet into a new folder beside the file; its path.

    The folder is of this process's choosing: who may send tasks may not write anywhere else.
    """
    home = SchedulerSettings().history_path.parent
    folder = Path(tempfile.mkdtemp(prefix="export-", dir=home))
    retention.export(history(), folder)
    return str(folder)


@worker_shutdown.connect
def _let_go(**_: Any) -> None:
    close_history()
