"""The measured routing table as producers see it: one JSON key of Redis, a copy of it at most seconds old.

No request waits for Redis: a copy that is due is used once more while a thread fetches the next. Where Redis
or the scheduler is away, the last copy serves on; where there never was one, the router's prior does.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import redis

from browser_runtime.contract.vocabulary import Browser
from tasks.redis_clients import connect_once
from tasks.router import Choice, Table

if TYPE_CHECKING:
    from tasks.settings import TaskSettings

# Of the standard library: this runs in the producer, whose output is its own.
log = logging.getLogger(__name__)

KEY = "routing"
"""The table's key, behind the prefix."""
MAX_AGE_S = 2.0
# The first look is waited for, since a short-lived producer has no other: on the machine it takes under 1 ms.
TIMEOUT_S = 0.25


class RoutingTable:
    """A copy that is fetched again off the caller's way. Safe in threads and after a fork."""

    def __init__(self, fetch: Callable[[], bytes | None], max_age_s: float = MAX_AGE_S) -> None:
        self._fetch, self._max_age_s = fetch, max_age_s
        self._table: Table = {}
        self._due = 0.0
        self._looked = False

    def get(self) -> Table:
        """The table; empty where nothing was measured yet."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + self._max_age_s
            if self._looked:
                with suppress(RuntimeError):  # the interpreter ends and starts no thread any more
                    threading.Thread(target=self.refresh, name="routing-table", daemon=True).start()
            else:
                self._looked = True
                self.refresh()
        return self._table

    def refresh(self) -> None:
        """Fetch now; the old copy stays where that fails."""
        try:
            told = self._fetch()
            self._table = decode(told) if told else {}
        except (redis.RedisError, OSError, ValueError) as error:
            log.debug("the routing table stays as it is: %s", error)


def fetch_from(settings: Callable[[], TaskSettings]) -> Callable[[], bytes | None]:
    """A function that gets the published table, each time anew: a forked child shares no connection."""

    def fetch() -> bytes | None:
        now = settings()
        client: Any = connect_once(now.results, TIMEOUT_S)
        try:
            told: bytes | None = client.get(routing_key(now.redis_prefix))
            return told
        finally:
            client.close()

    return fetch


def routing_key(prefix: str) -> str:
    """The table's key in Redis."""
    return f"{prefix}{KEY}"


def decode(told: bytes | str) -> Table:
    """The published table. Raises ValueError for what is none; a browser that is not known is passed over."""
    try:
        entries = json.loads(told)["entries"]
        return {key: found for key, rows in entries.items() if (found := tuple(_choices(rows)))}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a routing table: {error!r}") from error


def _choices(rows: list[dict[str, Any]]) -> list[Choice]:
    known = list(Browser)
    return [
        Choice(Browser(row["browser"]), str(row["reason"]), float(row["share"]))
        for row in rows
        if row["browser"] in known
    ]
