"""The routing table, from the history to Redis."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import redis

from browser_runtime.contract.vocabulary import HEALTHY_SCORE, Browser
from scheduler.routing.evidence import Evidence, read_evidence
from scheduler.routing.ranking import BrowserCondition, Policy
from scheduler.routing.table import build_table, changes, read_incumbents, read_shares, write_table
from tasks.keys import RedisKeys
from tasks.routing.router import QUEUE_OF
from tasks.routing.serving import served
from tasks.telemetry import Row

# As in the pool's own memory of latencies: after ten minutes a run counts half.
FRESH_S = 600.0
OLD_S = 3 * 86400.0
# A model that nobody asked for in two weeks is measured anew.
SINCE = timedelta(days=14)
# Where the analytics worker has been away for so long, the prior is the better guess.
EXPIRES_S = 3600


class Asks(Protocol):
    """What this needs of a history."""

    def query(self, name: str, **params: Any) -> list[dict[str, Any]]:
        """The rows of a named query."""


class Keeps(Asks, Protocol):
    """And of the one that owns the file."""

    def append(self, rows: Iterable[Row]) -> int:
        """Keep rows."""


def look_up_evidence(history: Asks) -> list[Evidence]:
    """What the history knows now."""
    now = datetime.now(UTC).replace(tzinfo=None)
    rows = history.query("routing_evidence", now=now, since=now - SINCE, fresh_s=FRESH_S, old_s=OLD_S)
    return read_evidence(rows)


def look_up_conditions(history: Asks, client: redis.Redis, prefix: str) -> dict[Browser, BrowserCondition]:
    """Which browsers are served and in order. Raises redis.RedisError."""
    alive = served(client, prefix, QUEUE_OF.values())
    health = history.query("routing_health", now=datetime.now(UTC).replace(tzinfo=None))
    return judge(alive, {row["browser"]: row for row in health})


def judge(alive: frozenset[str], health: Mapping[str, Mapping[str, Any]]) -> dict[Browser, BrowserCondition]:
    """Each browser's condition. Pure. One that nobody has looked at lately is taken to be in order."""
    return {
        browser: BrowserCondition(served=queue in alive, healthy=_is_healthy(health.get(str(browser))))
        for browser, queue in QUEUE_OF.items()
    }


def _is_healthy(row: Mapping[str, Any] | None) -> bool:
    if row is None or row["best_score"] is None:
        return True
    return float(row["best_score"]) >= HEALTHY_SCORE and int(row["n_closed"]) > 0


def publish(history: Keeps, client: redis.Redis, prefix: str, exploration: float) -> dict[str, int]:
    """Build the table and publish it; how many keys it has, and how many rows of it are news.

    Raises redis.RedisError or HistoryUnavailable: then the table of before serves on.
    """
    key = RedisKeys(prefix).routing
    before: Any = client.get(key)
    policy = Policy(exploration, look_up_conditions(history, client, prefix))
    table = build_table(look_up_evidence(history), policy, read_incumbents(before))
    client.set(key, write_table(table, time.time()), ex=EXPIRES_S)
    news = changes(table, read_shares(before))
    history.append(news)
    return {"n_keys": len(table), "n_news": len(news)}
