"""Messages that come again: already answered, or so poisonous that they end every worker they reach."""

from __future__ import annotations

import redis
from celery import states
from celery.result import AsyncResult
from celery.utils.log import get_logger

from browser_runtime.contract.errors import GivenUp
from tasks.app import WebinferApp
from tasks.coroutines import Outcome
from tasks.keys import RedisKeys

log = get_logger(__name__)

# Long past every redelivery of one message; then the count of a message that was handed back is forgotten.
COUNT_TTL_S = 24 * 3600


class Redeliveries:
    """Counts, in Redis, how often a suspect was started and its worker died. Suspects run one at a time."""

    def __init__(self, app: WebinferApp) -> None:
        self._app = app

    def verdict(self, task_id: str, is_suspect: bool) -> Outcome | None:
        """None to run a redelivered message; an outcome where there is nothing to run. Blocks on Redis.

        A stored success stays the result: Celery's tracer sees it too and only acknowledges the message.
        """
        if AsyncResult(task_id, app=self._app).state == states.SUCCESS:
            return Outcome()
        if not is_suspect:
            return None
        n_deliveries = 1 + self._count(task_id)
        if n_deliveries > self._app.settings.max_deliveries:
            return Outcome(error=GivenUp(n_deliveries - 1))
        return None

    def forgive(self, task_id: str) -> None:
        """This delivery did not end its worker."""
        client = self._app.redis
        try:
            is_over = client.decr(self._key(task_id)) <= 0
        except redis.ResponseError:  # junk in the place of the count
            is_over = True
        if is_over:
            client.delete(self._key(task_id))

    def _count(self, task_id: str) -> int:
        key = self._key(task_id)
        try:
            n = int(self._app.redis.incr(key))
        except redis.ResponseError:  # junk in the place of the count
            log.exception("junk removed from Redis: key=%s", key)
            self._app.redis.set(key, 1)
            n = 1
        self._app.redis.expire(key, COUNT_TTL_S)
        if n < 1:  # a strange hand may have made it negative
            self._app.redis.set(key, 1, keepttl=True)
        return max(n, 1)

    def _key(self, task_id: str) -> str:
        return RedisKeys(self._app.settings.redis_prefix).deliveries(task_id)
