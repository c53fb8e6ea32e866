"""How our app sends: tasks through the ledger, remote control in JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import current_task
from celery.app.control import Control

from tasks.continuation import continuing
from tasks.ledger import LedgerAmqp


class WebinferAmqp(LedgerAmqp):
    """Celery finds this class by name: see `tasks.app`."""

    def _retry_publish(self, publish: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Send a callback, the next step of a chain, or the body of a chord. Called by Celery's tracer."""
        with continuing(current_task.request if current_task else None):
            return super()._retry_publish(publish, *args, **kwargs)  # type: ignore[misc]


class PlainControl(Control):
    """Celery finds this class by name: see `tasks.app`.

    Workers of other apps on the same Redis read remote control too; one that cannot read a message ends.
    """

    mailbox: Any  # Celery's stubs stop short of it

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mailbox.serializer = "json"
