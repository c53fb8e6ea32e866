"""Follow-ups that Celery itself sends once a task has ended: callbacks, a chain's next step, a chord's body.

A message named it, so it is not trusted as a program's own calls are: it must not pick files of this machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from celery.app.task import Context

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
