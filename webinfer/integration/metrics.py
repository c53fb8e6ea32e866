"""The guide's metrics and connections of one integration's pool."""

from __future__ import annotations

from typing import Any

from browser_runtime.pool.reporting.metrics import pool_connections, pool_metrics
from webinfer.integration.engine import Engine


def metrics_of(engine: Engine) -> dict[str, Any]:
    """Everything the guide's `get_metrics` names, and what else there is to know; plain values."""
    told = pool_metrics(engine.pool, engine.tally.performance())
    return told if engine.book is None else told | {"history": engine.book.state()}


def connections_of(engine: Engine) -> dict[str, dict[str, Any]]:
    """Every connection by its id."""
    return pool_connections(engine.pool)
