"""Metrics and connections of an integration's pool, under the guide's names."""

from __future__ import annotations

from typing import Any

from browser_runtime.pool.reporting.metrics import pool_connections, pool_metrics
from webinfer.integration.engine import Engine

Metrics = dict[str, Any]
"""Plain values, under the guide's keys."""


def metrics_of(engine: Engine) -> Metrics:
    """The metrics that the guide names, and further ones, as plain values."""
    metrics = pool_metrics(engine.pool, engine.tally.performance())
    return metrics if engine.history is None else metrics | {"history": engine.history.state()}


def connections_of(engine: Engine) -> dict[str, Metrics]:
    """The sessions by id."""
    return pool_connections(engine.pool)
