"""Follow-ups that Celery itself sends once a task has ended: callbacks, a chain's next step, a chord's body.

A message named it, so it is not trusted as a program's own calls are: it must not pick files of this machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from celery import current_task

if TYPE_CHECKING:
    from celery.app.task import Context

_following: ContextVar[bool] = ContextVar("webinfer_following", default=False)
_finished: ContextVar[Context | None] = ContextVar("webinfer_finished", default=None)


@contextmanager
def continuing(request: Context | None) -> Iterator[None]:
    """Within it, whatever is sent is sent because `request` has ended.

    A task that ran eagerly, in its caller's own process, came in no message: for it nothing changes.
    """
    if request is None or getattr(
        request, "is_eager", False
    ):  # for an unknown task Celery makes up a request
        yield
        return
    token = _finished.set(request)
    try:
        yield
    finally:
        _finished.reset(token)


def finished_request() -> Context | None:
    """The request whose end is the reason for what is sent now; None where a program sends on its own."""
    return _finished.get()


def follows_taken_task(task_id: object) -> bool:
    """True for the retry of a task that a worker has taken, and for what it has to be followed by."""
    if finished_request() is not None:
        return True
    request = current_task.request if current_task else None
    return request is not None and request.id == task_id and not request.called_directly


@contextmanager
def following(does: bool) -> Iterator[None]:
    """Within it, `is_following()` is `does`."""
    token = _following.set(does)
    try:
        yield
    finally:
        _following.reset(token)


def is_following() -> bool:
    """True while what is sent belongs to a task that was taken: its retry, or what comes after it.

    It is never refused: the task has left its queue, and would be lost.
    """
    return _following.get()
