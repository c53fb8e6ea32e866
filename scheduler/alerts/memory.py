"""What Redis remembers of alerts: which are open, and the letters that are still to be delivered."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, cast
from uuid import uuid4

import redis

from scheduler.alerts.alert import OpenAlert
from scheduler.alerts.following import Followed
from scheduler.alerts.notifications import Notification
from tasks.keys import RedisKeys


class Memory:
    """The hashes `<prefix>alerts:open` (key -> alert) and `<prefix>alerts:outbox` (id -> letter)."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis, self._keys = client, RedisKeys(prefix)

    def open_alerts(self) -> dict[str, OpenAlert]:
        """The open alerts by key."""
        found = (
            OpenAlert.from_plain(json.loads(told)) for told in self._read(self._keys.open_alerts).values()
        )
        return {each.alert.key: each for each in found}

    def letters(self) -> dict[str, Notification]:
        """The letters not delivered yet, by id."""
        told = self._read(self._keys.notifications).items()
        return {name.decode(): Notification.from_plain(json.loads(plain)) for name, plain in told}

    def remember(self, followed: Followed, letters: Iterable[Notification]) -> None:
        """Keep the state and the letters about its change in one transaction: neither without the other."""
        still = {key: json.dumps(each.as_plain()) for key, each in followed.open.items()}
        posted = {uuid4().hex: json.dumps(letter.as_plain()) for letter in letters}
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(self._keys.open_alerts)
            if still:
                pipe.hset(self._keys.open_alerts, mapping=cast("dict[Any, Any]", still))
            if posted:
                pipe.hset(self._keys.notifications, mapping=cast("dict[Any, Any]", posted))
            pipe.execute()

    def settle(self, name: str, letter: Notification | None) -> None:
        """Replace the letter `name` by what is left of it; None: it is delivered or given up."""
        key = self._keys.notifications
        if letter is None:
            self._redis.hdel(key, name)
        else:
            self._redis.hset(key, name, json.dumps(letter.as_plain()))

    def _read(self, key: str) -> dict[bytes, bytes]:
        return cast("dict[bytes, bytes]", self._redis.hgetall(key))
