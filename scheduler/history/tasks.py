"""The history's tasks; all run in the analytics worker, one at a time."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from scheduler.history.draining import Drain
from scheduler.history.history import find_query
from scheduler.history.owner import history
from tasks.app import ANALYTICS_QUEUE, app

# Then other tasks have their turn; what waits in the stream is not lost.
DRAIN_BUDGET_S = 5.0


@app.task(name="scheduler.history.drain", queue=ANALYTICS_QUEUE)
def drain() -> dict[str, int]:
    """Move what waits in the stream into the file."""
    return asdict(Drain(app.redis, app.settings.redis_prefix, history()).run(DRAIN_BUDGET_S))


@app.task(name="scheduler.history.query", queue=ANALYTICS_QUEUE)
def query(name: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of one of `queries/*.sql`; never SQL of the sender's own."""
    find_query(name)
    return history().query(name, **params)
