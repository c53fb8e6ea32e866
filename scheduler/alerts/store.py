"""Open alerts and pending notifications in Redis."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, cast
from uuid import uuid4

import redis

from scheduler.alerts.alert import OpenAlert
from scheduler.alerts.following import AlertUpdate
from scheduler.alerts.notifications import Notification
from tasks.broker.kept_values import read_fields
from tasks.keys import RedisKeys


class AlertStore:
    """The hashes `<prefix>alerts:open` (key -> alert) and `<prefix>alerts:outbox` (id -> notification)."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis, self._keys = client, RedisKeys(prefix)

    def open_alerts(self) -> dict[str, OpenAlert]:
        """The open alerts by key."""
        parse: Callable[[bytes], OpenAlert] = lambda wire: OpenAlert.from_plain(json.loads(wire))  # noqa: E731
        alerts = read_fields(self._redis, self._keys.open_alerts, parse).values()
        return {each.alert.key: each for each in alerts}

    def notifications(self) -> dict[str, Notification]:
        """The pending notifications by id."""
        return read_fields(
            self._redis, self._keys.notifications, lambda wire: Notification.from_plain(json.loads(wire))
        )

    def save(self, update: AlertUpdate, notifications: Iterable[Notification]) -> None:
        """Store the open alerts and the new notifications in one transaction."""
        still = {key: json.dumps(each.to_plain()) for key, each in update.open.items()}
        added = {uuid4().hex: json.dumps(each.to_plain()) for each in notifications}
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(self._keys.open_alerts)
            if still:
                pipe.hset(self._keys.open_alerts, mapping=cast("dict[Any, Any]", still))
            if added:
                pipe.hset(self._keys.notifications, mapping=cast("dict[Any, Any]", added))
            pipe.execute()

    def replace(self, name: str, notification: Notification | None) -> None:
        """Replace the notification `name`; None removes it, as delivered or given up."""
        key = self._keys.notifications
        if notification is None:
            self._redis.hdel(key, name)
        else:
            self._redis.hset(key, name, json.dumps(notification.to_plain()))
