"""A Celery task whose work is a coroutine.

The worker's task pool runs `body` on its event loop, hands the outcome to a thread, and lets Celery's own
tracer call `run` there, which returns or raises that outcome. So results, retries, links, chords,
signals and events stay Celery's. Where no such pool runs (eager mode, other pools), `run` runs `body` itself.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from typing import Any

from celery import Task
from celery.app.task import Context
from celery.exceptions import Ignore, Reject

from tasks.payloads.codec import Readable


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a body: a value, or the error it raised."""

    value: Any = None
    error: BaseException | None = None

    def settle(self) -> Any:
        """The value, or the error raised."""
        if self.error is not None:
            raise self.error
        return self.value


class RetryWanted(Exception):
    """Raised by a body through `self.retry(...)`: the tracer's thread carries it out, off the event loop."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self.options = options


class ForwardWanted(Exception):
    """Raised by a body: the task goes to another queue under its id, as the tracer's thread carries out."""

    def __init__(self, kwargs: dict[str, Any], queue: str) -> None:
        super().__init__(queue)
        self.kwargs, self.queue = kwargs, queue


class _Handover(threading.local):
    outcome: Outcome | None = None
    is_under_way: bool = False


_handover = _Handover()
# Celery's request stack is one of threads; coroutines that share a thread need one of their own.
_request: ContextVar[Context | None] = ContextVar("webinfer_request", default=None)


@contextmanager
def handing_over(outcome: Outcome) -> Iterator[None]:
    """Within it, the next `run` of this thread settles with `outcome`."""
    _handover.outcome, _handover.is_under_way = outcome, True
    try:
        yield
    finally:
        _handover.outcome, _handover.is_under_way = None, False


def is_handing_over() -> bool:
    """True in a thread that reports an outcome: what is raised there sends the message back to its queue."""
    return _handover.is_under_way


@contextmanager
def serving(request: Context) -> Iterator[None]:
    """Within it, `task.request` is `request` for this coroutine."""
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


class CoroutineTask(Task):  # type: ignore[type-arg]
    """Base class: define `async def body(self, ...)` and never touch Redis in it but through a thread."""

    abstract = True

    async def body(self, *args: Any, **kwargs: Any) -> Any:
        """The work."""
        raise NotImplementedError(f"task {self.name} defines no body")

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """The body's outcome. Called by Celery's tracer."""
        outcome, _handover.outcome = _handover.outcome, None
        try:
            return self._run_here(*args, **kwargs) if outcome is None else outcome.settle()
        except RetryWanted as wanted:
            return self._retry(**wanted.options)
        except ForwardWanted as wanted:
            self.forward(wanted.kwargs, wanted.queue)
            raise Ignore() from None

    def _run_here(self, *args: Any, **kwargs: Any) -> Any:
        """The body's value, run in this process; in a thread of its own where this one has a loop already."""
        context = copy_context()
        if self.request_stack is not None:  # else no app has it yet
            context.run(_request.set, self.request)

        def work() -> Any:
            return context.run(asyncio.run, self.body(*args, **kwargs))

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            value = work()
        else:
            with ThreadPoolExecutor(1) as threads:
                value = threads.submit(work).result()
        return value.value if isinstance(value, Readable) else value

    @property
    def is_here(self) -> bool:
        """True if the body runs in its caller's own process, and came in no message."""
        return bool(self.request.is_eager or self.request.called_directly)

    def apply(self, *args: Any, **options: Any) -> Any:
        """Run the task in this process, as Celery does."""
        self._get_app().finalize(auto=True)  # type: ignore[attr-defined]  # registers adopted tasks
        return super().apply(*args, **options)

    def forward(self, kwargs: dict[str, Any], queue: str) -> None:
        """Send the task being served to `queue`, with other arguments and all else as it came."""
        options = dict(self.signature_from_request(None, (), kwargs, queue=queue).options)
        shown = {"argsrepr": "()", "kwargsrepr": self.request.get("kwargsrepr")}
        Task.apply_async(self, (), kwargs, **(shown | options), add_to_parent=False)

    def retry(self, *args: Any, **options: Any) -> Any:
        """Celery's retry; from a body it is carried out a moment later, in the tracer's thread."""
        if _request.get() is None:
            return self._retry(*args, **options)
        names = ("args", "kwargs", "exc", "throw", "eta", "countdown", "max_retries")
        raise RetryWanted(dict(zip(names, args, strict=False)) | options)

    def _retry(self, *args: Any, **options: Any) -> Any:
        """Celery's retry, which drops what it cannot send again: its producer would wait for ever."""
        try:
            return super().retry(*args, **options)
        except Reject as rejected:
            raise rejected.args[0] from None

    @property
    def request(self) -> Context:
        """The request being served: by this coroutine, else by this thread."""
        found: Context = _request.get() or self._get_request()  # type: ignore[attr-defined]
        return found
