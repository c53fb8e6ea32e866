"""Messages of our app: tasks through the ledger, remote control in JSON."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from celery import current_task
from celery.app.control import Control
from kombu.pidbox import Mailbox

from tasks.payloads.claims import waiting
from tasks.payloads.summaries import describe_arrays
from tasks.sending.continuation import continuing, finished_request, following, follows_taken_task
from tasks.sending.headers import READS, TENSOR, reads_tensors, seconds_to_wait
from tasks.sending.ledger import LedgerAmqp, Recording


class WebinferAmqp(LedgerAmqp):
    """Of `tasks.app`."""

    app: Any

    def as_task_v2(self, task_id: str, name: str, *args: Any, **options: Any) -> Any:
        """A task's message. It says that its sender reads arrays, unless it is sent for one who does not."""
        message = super().as_task_v2(task_id, name, *args, **options)
        if self._is_read_by_us(task_id):
            message.headers[READS] = TENSOR
        return message

    def _create_task_sender(self) -> Callable[..., Any]:
        """A function that sends a message; its large arrays wait as long as the message may."""
        send = super()._create_task_sender()  # type: ignore[misc]

        def send_task_message(producer: Any, name: str, message: Any, **options: Any) -> Any:
            follows = follows_taken_task(message.headers.get("id"))
            with waiting(seconds_to_wait(message.headers, time.time())), following(follows):
                return send(producer, name, message, **options)

        return send_task_message

    def _is_read_by_us(self, task_id: str) -> bool:
        """True if the program that waits for the result has our app.

        What follows a task, or replaces or retries it, is waited for by whoever sent that task.
        """
        finished = finished_request()
        if finished is not None:
            return reads_tensors(finished)
        if current_task and current_task.request.id == task_id:
            return current_task.app is self.app and reads_tensors(current_task.request)
        return True

    def _retry_publish(self, publish: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Send a callback, the next step of a chain, or the body of a chord. Called by Celery's tracer."""
        with continuing(current_task.request if current_task else None):
            return super()._retry_publish(publish, *args, **kwargs)  # type: ignore[misc]


def is_ours(producer: Any) -> bool:
    """True if a kombu producer sends over a connection of our app; canvases hand theirs to every task."""
    return isinstance(producer.connection, Recording)


class PlainMailbox(Mailbox):
    """Remote control in JSON; what workers tell of their tasks holds words in the place of arrays."""

    def _publish_reply(self, reply: Any, *args: Any, **kwargs: Any) -> None:
        super()._publish_reply(describe_arrays(reply), *args, **kwargs)


class PlainControl(Control):
    """Of `tasks.app`.

    Workers of other apps on the same Redis read remote control too; one that cannot read a message ends.
    """

    Mailbox = PlainMailbox
    mailbox: Any  # Celery's stubs stop short of it

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mailbox.serializer = "json"
