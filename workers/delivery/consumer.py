"""Celery's consumer, which a message that cannot be a task neither stops nor sends into reconnecting."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import redis
from celery.app.trace import build_tracer
from celery.exceptions import CPendingDeprecationWarning
from celery.utils.log import get_logger
from celery.worker.consumer import Consumer
from kombu.exceptions import OperationalError

from tasks.codec import MAX_MESSAGE_BYTES
from tasks.coroutines import CoroutineTask
from workers.delivery.dead_letters import DeadLetters
from workers.execution.clock import tracer_clock

log = get_logger(__name__)

MAX_ID = 128
# The errors a reconnection can mend; what else a message raises is its own fault. (Celery's own list of
# connection errors holds KeyError too.)
OUTAGES = (OSError, OperationalError, redis.ConnectionError, redis.TimeoutError)


class SafeConsumer(Consumer):
    """Celery finds this class by name: see `tasks.app`."""

    # Celery's stubs stop short of these.
    app: Any
    qos: Any
    connection_errors: tuple[type[Exception], ...]
    initial_prefetch_count: int
    prefetch_multiplier: int

    @property
    def letters(self) -> DeadLetters:
        """Where broken messages go."""
        return DeadLetters(self.app, self.hostname)

    def update_strategies(self) -> None:
        """Celery's tracers, with a clock that counts what a body took on the event loop."""
        super().update_strategies()
        for name, task in self.app.tasks.items():
            if isinstance(task, CoroutineTask):
                task.__trace__ = build_tracer(
                    name, task, self.app.loader, self.hostname, app=self.app, monotonic=tracer_clock
                )

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Reconnect, without Celery's advice on a setting that `tasks.app` has made a choice about."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CPendingDeprecationWarning)
            super().on_connection_error_after_connected(exc)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """Celery's handler behind a check of the message."""
        handle = super().create_task_handler(*args, **kwargs)

        def on_task_received(message: Any) -> None:
            defect = find_defect(message.headers, message.body)
            if defect:
                self._bury(message, defect)
                return
            try:
                handle(message)
            except OUTAGES:
                raise
            except Exception as error:
                self._bury(message, repr(error))

        return on_task_received

    def _bury(self, message: Any, why: str) -> None:
        self.letters.bury_message(why, message)
        if not message.acknowledged:
            message.reject_log_error(log, self.connection_errors)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """A body that cannot be read: buried, and failed for the producer that waits."""
        self.letters.bury_message(f"body cannot be read: {exc}", message)
        self._fail(message, exc)
        message.ack_log_error(log, self.connection_errors)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """A message whose fields are no task's."""
        self.letters.bury_message(f"not a valid task: {exc}", message)
        self._fail(message, exc)
        message.reject_log_error(log, self.connection_errors)

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """A task nobody here knows; Celery fails it for the producer that waits."""
        self.letters.bury_message(f"unknown task {exc}", message)
        super().on_unknown_task(body, message, exc)

    def _fail(self, message: Any, exc: Exception) -> None:
        self.app.backend.mark_as_failure(message.headers["id"], exc)

    def _update_prefetch_count(self, index: int = 0) -> None:
        """Follow the pool's size, whatever `index` says: one session more is many slots more."""
        wanted = self.pool.num_processes * self.prefetch_multiplier
        by = wanted - self.initial_prefetch_count
        self.initial_prefetch_count = wanted
        if by > 0:
            self.qos.increment_eventually(by)
        elif by < 0:
            self.qos.decrement_eventually(-by)


def find_defect(headers: Any, body: Any) -> str | None:
    """Why a message with these headers and body cannot be a task; None when it can."""
    if not isinstance(headers, dict):
        return "no headers"
    for name in ("id", "task"):
        value = headers.get(name)
        if not isinstance(value, str) or not 1 <= len(value) <= MAX_ID:
            return f"header {name!r} is {str(value)[:80]!r}, but must be a text of 1 to {MAX_ID} characters"
    if body is not None and len(body) > MAX_MESSAGE_BYTES:
        return f"a body of {len(body)} bytes, more than {MAX_MESSAGE_BYTES}"
    return None
