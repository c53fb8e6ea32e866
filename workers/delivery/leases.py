"""Keeps a worker's unacknowledged messages its own for as long as the worker lives.

It also runs the sweep that finds what a killed worker took and never noted.

Redis gives a message to another worker when its visibility timeout has passed. A worker renews what it holds,
so the timeout can be short: a task may run for many minutes, and a killed worker's tasks still go elsewhere
within seconds.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import redis
from celery.utils.log import get_logger

from tasks.broker.redis_clients import connect
from workers.delivery.sweeping import Sweep

log = get_logger(__name__)

# Renewals within one visibility timeout: five may be late or lost.
RENEWALS = 6


class LeaseRenewer:
    """A thread that renews, until stopped, what `channel()` has delivered and not acknowledged."""

    def __init__(self, broker_url: str, redelivery_s: float, ledger_prefix: str = "") -> None:
        self._client = connect(broker_url)
        self._sweep = Sweep(self._client, ledger_prefix, redelivery_s) if ledger_prefix else None
        self._interval_s = redelivery_s / RENEWALS
        self._stopped = threading.Event()
        self._channel: Any = None
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)

    def start(self) -> None:
        """Start renewing."""
        self._thread.start()

    def hold(self, channel: Any) -> None:
        """From now on renew what this kombu channel holds; an earlier channel's messages are lost to us."""
        self._channel = channel

    def stop(self) -> None:
        """Renew no more."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(5.0)
        self._client.close()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval_s):
            try:
                self.renew()
                if self._sweep is not None and self._channel is not None:
                    self._sweep.run(self._channel)
            except redis.RedisError as error:
                log.warning("leases not renewed: %s", error)

    def renew(self) -> int:
        """Mark everything held as seen just now; how many messages that were."""
        channel = self._channel
        tags = [] if channel is None else _tags(channel)
        if tags:
            now = time.time()
            # XX: never bring back a message that was acknowledged, or taken away, meanwhile.
            self._client.zadd(channel.unacked_index_key, dict.fromkeys(tags, now), xx=True)
        return len(tags)


def _tags(channel: Any) -> list[str]:
    """The delivery tags the channel holds; Celery's thread may change them under our hands."""
    while True:
        try:
            return list(channel.qos._delivered)
        except RuntimeError:
            continue
