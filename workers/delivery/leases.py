"""Keeps a worker's unacknowledged messages its own while it lives, and gives back those of a dead one.

A worker renews what it holds every second; what nobody has renewed for `redelivery_s` goes back to its queue.
So a task may run for many minutes, and a killed worker's tasks still go elsewhere within seconds. All times
are Redis's own. The same thread runs the sweep that finds what a killed worker took and never noted.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import redis
from celery.utils.log import get_logger

from tasks.broker.essential_writes import EssentialRedis
from tasks.broker.kept_values import remove_wrong_types
from tasks.broker.redis_clients import connect_once
from tasks.periodic import PeriodicThread
from workers.delivery.holding import Holdings
from workers.delivery.sweeping import Sweep

log = get_logger(__name__)

# Renewals within one lease: five may be late or lost.
RENEWALS = 6
MAX_INTERVAL_S = 1.0
# Redis answers in a millisecond. One turn that waits no longer leaves time for more of them in a lease.
TIMEOUT_S = 2.0
# Looks for keys of a wrong type: seldom, since only strange hands make them.
TIDY_S = 5.0


class LeaseRenewer:
    """A thread that renews, until stopped, what `channel` has delivered and not acknowledged."""

    def __init__(
        self,
        broker_url: str,
        redelivery_s: float,
        ledger_prefix: str = "",
        kinds: Mapping[str, str] | None = None,
    ) -> None:
        """`kinds`: the types of our keys; one that is of another type is removed."""
        self._client = connect_once(broker_url, TIMEOUT_S, EssentialRedis)
        self._holdings = Holdings(self._client, ledger_prefix)
        self._sweep = Sweep(self._client, ledger_prefix, redelivery_s) if ledger_prefix else None
        self._lease_s, self._kinds = redelivery_s, kinds or {}
        self._tidied_at = -TIDY_S
        self._channel: Any = None
        self._seen_overdue: set[bytes] = set()
        self._thread = PeriodicThread("leases", self.turn, min(redelivery_s / RENEWALS, MAX_INTERVAL_S))

    def start(self) -> None:
        """Start renewing; tidy at once, before the consumer meets what is wrong."""
        self._thread.start()
        self._thread.wake()

    def hold(self, channel: Any) -> None:
        """From now on renew what this kombu channel holds; an earlier channel's messages are lost to us.

        The first look for what others have lost is made at once: this worker may not live long.
        """
        self._channel = channel
        self._thread.wake()

    def stop(self) -> None:
        """Renew no more."""
        self._thread.stop()
        self._client.close()

    def turn(self) -> None:
        """Tidy, renew, take over, sweep. Raises redis.RedisError."""
        if (now := time.monotonic()) >= self._tidied_at + TIDY_S:
            remove_wrong_types(self._client, self._kinds)
            self._tidied_at = now
        try:
            self._look_after_messages()
        except redis.ResponseError:  # a key of a wrong type perhaps
            self._tidied_at = -TIDY_S
            raise

    def _look_after_messages(self) -> None:
        channel = self._channel
        if channel is None or channel.closed:
            return
        self.renew()
        self._take_over(channel)
        if self._sweep is not None:
            self._sweep.run(channel)

    def renew(self) -> int:
        """Mark everything held as seen just now; how many messages that were."""
        channel = self._channel
        tags = [] if channel is None else delivery_tags(channel)
        if tags:
            self._holdings.renew(tags)
        return len(tags)

    def _take_over(self, channel: Any) -> None:
        """Give back what was found overdue twice.

        After a pause of Redis or of the whole machine every lease is over: the first look only notes them,
        and their holders renew them before the second.
        """
        overdue = set(self._holdings.overdue(self._lease_s))
        lost, self._seen_overdue = overdue & self._seen_overdue, overdue
        for tag in sorted(lost):
            task_id = channel.give_back(tag, self._client, lease_s=self._lease_s)
            if task_id is not None:
                log.warning("task of a lost worker returned to its queue: task=%s", task_id)


def delivery_tags(channel: Any) -> list[str]:
    """The delivery tags the channel holds; Celery's thread may change them under our hands.

    What is settled already is in kombu's set of the dirty for a while.
    """
    while True:
        try:
            return [tag for tag in list(channel.qos._delivered) if tag not in channel.qos._dirty]
        except RuntimeError:
            continue
