"""The measured table and the presence of workers: a copy for producers, at most seconds old.

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
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from browser_runtime.contract.vocabulary import Browser
from tasks.broker.kept_values import BROKEN
from tasks.broker.redis_clients import connect_once
from tasks.keys import RedisKeys
from tasks.routing.router import QUEUE_OF, Choice, Table
from tasks.routing.serving import Presence, presence_keys, read_presence

if TYPE_CHECKING:
    from tasks.settings import TaskSettings

# Of the standard library: this runs in the producer, whose output is its own.
log = logging.getLogger(__name__)

QUEUES = tuple(QUEUE_OF.values())
MAX_AGE_S = 2.0
# The first look is waited for, since a short-lived producer has no other: on the machine it takes under 1 ms.
TIMEOUT_S = 0.25


@dataclass(frozen=True, slots=True)
class Routing:
    """The router's inputs."""

    table: Table = field(default_factory=dict)
    """Empty where nothing was measured yet."""
    presence: Presence | None = None
    """None where Redis could not be asked."""


class RoutingCopy:
    """A copy that is fetched again off the caller's way. Safe in threads and after a fork."""

    def __init__(self, fetch: Callable[[], Routing], max_age_s: float = MAX_AGE_S) -> None:
        self._fetch, self._max_age_s = fetch, max_age_s
        self._routing = Routing()
        self._due = 0.0
        self._looked = False

    def get(self) -> Routing:
        """The copy as it is."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + self._max_age_s
            if self._looked:
                with suppress(RuntimeError):  # the interpreter ends and starts no thread any more
                    threading.Thread(target=self.refresh, name="routing-table", daemon=True).start()
            else:
                self._looked = True
                self.refresh()
        return self._routing

    def refresh(self) -> Routing:
        """The copy, fetched now; where that fails the old table stays, and who serves is not known."""
        try:
            self._routing = self._fetch()
        except Exception as error:  # whatever lies in the key: this is a thread's whole work
            self._routing = replace(self._routing, presence=None)
            log.debug("routing table not refreshed: %s", error)
        return self._routing


def fetch_from(settings: Callable[[], TaskSettings]) -> Callable[[], Routing]:
    """A function that asks Redis, each time anew: a forked child shares no connection."""

    def fetch() -> Routing:
        now = settings()
        client: Any = connect_once(now.results, TIMEOUT_S)
        keys = [RedisKeys(now.redis_prefix).routing, *presence_keys(now.redis_prefix, QUEUES)]
        try:
            published, *values = client.mget(keys)
        finally:
            client.close()
        return Routing(_table_or_none(published), read_presence(QUEUES, values))

    return fetch


def _table_or_none(published: bytes | None) -> Table:
    """The published table; none where what is published is no table, which the next one replaces."""
    try:
        return decode(published) if published else {}
    except BROKEN as error:
        log.debug("routing table not read: %r", error)
        return {}


def decode(published: bytes | str) -> Table:
    """The published table. Raises ValueError for what is none; a browser that is not known is passed over."""
    try:
        entries = json.loads(published)["entries"]
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
