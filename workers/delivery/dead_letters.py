"""The dead letters: messages that cannot be tasks, kept with the evidence in a capped Redis stream.

Its result becomes a failure, as do those of its chain and chord, so that nobody waits in vain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis
from celery import states
from celery.app.task import Context
from celery.utils.log import get_logger

from browser_runtime.contract.errors import BadRequest
from tasks.app import WebinferApp
from tasks.keys import RedisKeys
from tasks.sending.checks import is_id
from workers.delivery.envelope import find_embedded, find_headers

log = get_logger(__name__)

MAX_LETTERS = 1000
MAX_EVIDENCE = 2000  # characters of headers and of body


class DeadLetters:
    """Writes to the stream `<prefix>dead-letters`: fields why, worker, task, id, queue, headers, body."""

    def __init__(self, app: WebinferApp, worker: str) -> None:
        self._app, self._worker = app, worker

    @property
    def key(self) -> str:
        """The stream's key."""
        return RedisKeys(self._app.settings.redis_prefix).dead_letters

    def keep(self, why: str, **evidence: Any) -> None:
        """Keep a letter. Never raises: losing the evidence must not hurt the worker."""
        log.error("message moved to dead letters: task=%s reason=%s", evidence.get("id"), why)
        letter: dict[Any, Any] = {"why": _text(why), "worker": self._worker}
        letter |= {name: _text(value) for name, value in evidence.items()}
        try:
            self._app.optional_redis.xadd(self.key, letter, maxlen=MAX_LETTERS)
        except redis.RedisError:
            log.exception("dead letter not kept")

    def bury_item(self, why: str, item: Any, **evidence: Any) -> None:
        """Keep an item of a queue that is no message, and fail the task whose id it tells. Never raises."""
        headers = find_headers(item)
        self.fail(headers, {}, BadRequest(why))
        self.keep(why, id=headers.get("id"), body=item, **evidence)

    def bury_message(self, error: Exception, message: Any) -> None:
        """Keep a kombu message, and fail its task with `error`. Never raises."""
        headers = message.headers if isinstance(message.headers, dict) else {}
        self.fail(headers, find_embedded(message), error)
        self.keep(
            str(error),
            task=headers.get("task"),
            id=headers.get("id"),
            queue=(message.delivery_info or {}).get("routing_key"),
            headers={
                name: value for name, value in headers.items() if name not in ("argsrepr", "kwargsrepr")
            },
            body=message.body,
        )

    def fail(self, headers: Mapping[str, Any], embedded: Mapping[str, Any], error: Exception) -> None:
        """Store the failure for whoever waits: for the task, then for its chain and chord. Never raises."""
        task_id: Any = headers.get("id")
        if not is_id(task_id):
            return
        backend = self._app.backend
        context = Context({**headers, **embedded, "delivery_info": {}})
        try:
            backend.store_result(task_id, error, states.FAILURE)
            backend.mark_as_failure(task_id, error, request=context, store_result=False)
        except Exception:  # a chord or chain that is as broken as its message
            log.exception("failure not stored: task=%s", task_id)


def _text(value: Any) -> str:
    """`value` in at most MAX_EVIDENCE characters that can be written, cut before it is made text."""
    if isinstance(value, (bytes, bytearray, memoryview, str)):
        value = value[:MAX_EVIDENCE]
    text = value if isinstance(value, str) else repr(value)
    return text[:MAX_EVIDENCE].encode(errors="replace").decode()
