"""Celery's consumer, which a message that cannot be a task neither stops nor sends into reconnecting."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from celery.app.trace import build_tracer
from celery.exceptions import CPendingDeprecationWarning, NotRegistered
from celery.utils.log import get_logger
from celery.worker.consumer import Consumer

from browser_runtime.contract.errors import BadRequest, InferenceError
from tasks.broker.redis_clients import OUTAGES
from tasks.coroutines import CoroutineTask
from tasks.sending.checks import is_id
from workers.delivery.dead_letters import DeadLetters
from workers.delivery.envelope import check_message
from workers.execution.clock import tracer_clock

log = get_logger(__name__)

# Seconds between tries to reach Redis. A try costs nothing; a second is what recovery may take.
RECONNECT = {"interval_start": 0.2, "interval_step": 0.2, "interval_max": 1.0}
# What happens to tasks within this time is published as one message. To publish each event by itself took two
# fifths of this thread's time under a load of small requests.
EVENTS_WITHIN_S = 0.05


class SafeConsumer(Consumer):
    """Celery finds this class by name: see `tasks.app`."""

    # Celery's stubs stop short of these.
    app: Any
    qos: Any
    event_dispatcher: Any
    hub: Any
    _flush_events: Callable[[], None]
    connection_errors: tuple[type[Exception], ...]
    initial_prefetch_count: int
    prefetch_multiplier: int
    _flush_at = 0.0

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

    def ensure_connected(self, conn: Any) -> Any:
        """The connection, once Redis is back: Celery's own pauses grow to half a minute."""
        connect = conn.ensure_connection
        conn.ensure_connection = lambda *args, **kwargs: connect(*args, **(RECONNECT | kwargs))
        return super().ensure_connected(conn)

    def on_send_event_buffered(self) -> Any:
        """Plan one publication for all events of a moment; called by any thread."""
        now = time.monotonic()
        if self.hub and now >= self._flush_at:
            self._flush_at = now + EVENTS_WITHIN_S
            self.hub.call_soon(self._plan_flush)

    def _plan_flush(self) -> None:
        """On the hub's own thread, to which its timer belongs."""
        self.hub.call_later(EVENTS_WITHIN_S, self._flush_events)

    def shutdown(self) -> None:
        """Publish the last events, then end."""
        with suppress(*OUTAGES):
            self._flush_events()
        super().shutdown()

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """Celery's handler behind a check of the message."""
        handle = super().create_task_handler(*args, **kwargs)

        def on_task_received(message: Any) -> None:
            try:
                check_message(message)
                handle(message)
            except OUTAGES:
                raise
            except Exception as error:
                self._bury(message, error)

        return on_task_received

    def _bury(self, message: Any, error: Exception) -> None:
        """Fail the task for whoever waits, keep the message as a dead letter, and let it go."""
        known = isinstance(error, (InferenceError, NotRegistered))
        reason = error if known else BadRequest(f"the message is no task: {error!r}")
        try:
            DeadLetters(self.app, self.hostname).bury_message(reason, message)
            task_id = message.headers.get("id") if isinstance(message.headers, dict) else None
            if self.event_dispatcher and is_id(task_id):
                self.event_dispatcher.send("task-failed", uuid=task_id, exception=repr(reason))
        finally:  # held, it would never come to anybody's notice again
            if not message.acknowledged:
                message.reject_log_error(log, self.connection_errors)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """A body that cannot be read."""
        self._bury(message, BadRequest(f"the body cannot be read: {exc}"))

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """A message whose fields are no task's."""
        self._bury(message, BadRequest(f"the message is no task: {exc}"))

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """A task that nobody here knows."""
        self._bury(message, NotRegistered(message.headers["task"]))

    def _update_prefetch_count(self, index: int = 0) -> None:
        """Follow the pool's size, whatever `index` says: one session more is many slots more."""
        wanted = self.pool.num_processes * self.prefetch_multiplier
        by = wanted - self.initial_prefetch_count
        self.initial_prefetch_count = wanted
        if by > 0:
            self.qos.increment_eventually(by)
        elif by < 0:
            self.qos.decrement_eventually(-by)
