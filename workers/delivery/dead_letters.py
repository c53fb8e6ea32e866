"""The dead letters: messages that cannot be tasks, kept with the evidence in a capped Redis stream."""

from __future__ import annotations

from typing import Any

import redis
from celery.utils.log import get_logger

from tasks.app import WebinferApp

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
        return f"{self._app.settings.redis_prefix}dead-letters"

    def bury(self, why: str, **evidence: Any) -> None:
        """Keep a letter. Never raises: losing the evidence must not hurt the worker."""
        log.error("dead letter: %s (task %s)", why, evidence.get("id") or "without id")
        letter: dict[Any, Any] = {"why": why[:MAX_EVIDENCE], "worker": self._worker}
        letter |= {name: _text(value) for name, value in evidence.items()}
        try:
            self._app.redis.xadd(self.key, letter, maxlen=MAX_LETTERS)
        except redis.RedisError:
            log.exception("a dead letter could not be kept")

    def bury_message(self, why: str, message: Any) -> None:
        """Keep a kombu message as a letter."""
        headers = message.headers if isinstance(message.headers, dict) else {}
        self.bury(
            why,
            task=headers.get("task"),
            id=headers.get("id"),
            queue=(message.delivery_info or {}).get("routing_key"),
            headers={
                name: value for name, value in headers.items() if name not in ("argsrepr", "kwargsrepr")
            },
            body=message.body,
        )


def _text(value: Any) -> str:
    """`value` in at most MAX_EVIDENCE characters, cut before it is made text where it can be."""
    if isinstance(value, (bytes, bytearray, memoryview, str)):
        value = value[:MAX_EVIDENCE]
    return (value if isinstance(value, str) else repr(value))[:MAX_EVIDENCE]
