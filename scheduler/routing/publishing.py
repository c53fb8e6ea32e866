"""Builds the routing table from the history and publishes it to Redis."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import redis

from browser_runtime.contract.vocabulary import HEALTHY_SCORE, Browser
from scheduler.history.history import QueryRow
from scheduler.routing.evidence import Evidence, read_evidence
from scheduler.routing.ranking import BrowserCondition, Policy
from scheduler.routing.table import build_table, changes, read_incumbents, read_shares, write_table
from tasks.keys import RedisKeys
from tasks.routing.router import QUEUE_OF
from tasks.routing.serving import served
from tasks.telemetry import Row

# As in the pool's own latencies: a run's weight halves after ten minutes.
FRESH_S = 600.0
OLD_S = 3 * 86400.0
# Runs older than two weeks are ignored.
SINCE = timedelta(days=14)
# After this time without an analytics worker, the prior is the better guess.
EXPIRES_S = 3600


class HistoryReader(Protocol):
    """A history that can be queried."""

    def query(self, name: str, **params: Any) -> list[QueryRow]:
        """The rows of a named query."""


class HistoryWriter(HistoryReader, Protocol):
    """A history that rows can be added to."""

    def append(self, rows: Iterable[Row]) -> int:
        """Store rows."""


def look_up_evidence(history: HistoryReader, *, with_flags: bool = False) -> list[Evidence]:
    """The evidence in the history now; `with_flags`: runs with other flags apart."""
    now = datetime.now(UTC).replace(tzinfo=None)
    times = {"now": now, "since": now - SINCE, "fresh_s": FRESH_S, "old_s": OLD_S}
    return read_evidence(history.query("routing_evidence", **times, with_flags=with_flags))


def look_up_conditions(
    history: HistoryReader, client: redis.Redis, prefix: str
) -> dict[Browser, BrowserCondition]:
    """The condition of each browser: served, healthy. Raises redis.RedisError."""
    alive = served(client, prefix, QUEUE_OF.values())
    health = history.query("routing_health", now=datetime.now(UTC).replace(tzinfo=None))
    return judge(alive, {row["browser"]: row for row in health})


def judge(alive: frozenset[str], health: Mapping[str, Mapping[str, Any]]) -> dict[Browser, BrowserCondition]:
    """Each browser's condition; one without recent health samples counts as healthy. Pure."""
    return {
        browser: BrowserCondition(served=queue in alive, healthy=_is_healthy(health.get(str(browser))))
        for browser, queue in QUEUE_OF.items()
    }


def _is_healthy(row: Mapping[str, Any] | None) -> bool:
    if row is None or row["best_score"] is None:
        return True
    return float(row["best_score"]) >= HEALTHY_SCORE and int(row["n_closed"]) > 0


def publish(history: HistoryWriter, client: redis.Redis, prefix: str, exploration: float) -> dict[str, int]:
    """Build and publish the table; returns its number of keys, and of changed rows.

    Raises redis.RedisError or HistoryUnavailable; the table before then stays in use.
    """
    key = RedisKeys(prefix).routing
    before: Any = client.get(key)
    policy = Policy(exploration, look_up_conditions(history, client, prefix))
    table = build_table(look_up_evidence(history), policy, read_incumbents(before))
    client.set(key, write_table(table, time.time()), ex=EXPIRES_S)
    changed = changes(table, read_shares(before))
    history.append(changed)
    return {"n_keys": len(table), "n_changed": len(changed)}
