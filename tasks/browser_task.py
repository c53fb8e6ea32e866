"""A task that is checked, and finds its queue, where it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import redis
from celery.result import AsyncResult
from kombu.exceptions import ChannelError, EncodeError, OperationalError

from browser_runtime.contract.errors import BadInput, InferenceError, QueueFull
from browser_runtime.contract.vocabulary import shown
from tasks.broker.essential_writes import find_refusal
from tasks.coroutines import CoroutineTask
from tasks.routing.addressing import find_named_queue
from tasks.routing.router import INBOX
from tasks.sending.continuation import follows_taken_task
from tasks.sending.execution_options import check_execution_options
from tasks.sending.neighbours import introduce_followers

if TYPE_CHECKING:
    from tasks.app import WebinferApp

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and named ones."""


class BrowserTask(CoroutineTask):
    """Base class: define `prepare`, too.

    `app.send_task`, and so `celery call`, sends these tasks through their own `apply_async`.
    """

    abstract = True
    app: WebinferApp

    def prepare(self, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]) -> Arguments:
        """The arguments as the message has them; sets the queue in `options`. Raises InferenceError."""
        raise NotImplementedError(f"task {self.name} prepares no message")

    def apply_async(  # type: ignore[override]  # the stubs list every option by name
        self, args: Any = None, kwargs: Any = None, **options: Any
    ) -> AsyncResult[Any]:
        """Check, route and send.

        Raises BadInput, TooLarge, NoWorker, QueueFull; OperationalError when Redis is away.
        """
        check_execution_options(options)
        args, kwargs = _check_arguments(args, kwargs)
        if self.app.conf.task_always_eager:
            return self.apply(args, kwargs, **options)  # type: ignore[no-any-return]
        args, kwargs = self.prepare(args, kwargs, options)
        introduce_followers(self.app, options)
        queue = find_named_queue(options) or INBOX
        if not follows_taken_task(options.get("task_id")):
            self.app.admission.check(queue, kwargs)
        try:
            return super().apply_async(args, kwargs, **options)
        except (EncodeError, ChannelError, OperationalError, redis.RedisError) as error:
            raise _translated(error, queue, follows_taken_task(options.get("task_id"))) from error


def _check_arguments(args: object, kwargs: object) -> Arguments:
    if args is not None and not isinstance(args, (list, tuple)):
        raise BadInput("args", shown(args), "a list or tuple of positional arguments")
    if kwargs is not None and not isinstance(kwargs, dict):
        raise BadInput("kwargs", shown(kwargs), "a dict of named arguments")
    return tuple(args or ()), dict(kwargs or {})


def _translated(error: Exception, queue: str, is_next_step: bool) -> Exception:
    """Of what sending raises: too large a message, a Redis that refuses writes, or none to be reached.

    What follows a task that a worker has taken is never refused: it waits, as in an outage.
    """
    cause = error.args[0] if isinstance(error, EncodeError) and error.args else None
    if isinstance(cause, InferenceError):
        return cause
    if reason := find_refusal(cause if isinstance(cause, Exception) else error):
        return OperationalError(reason) if is_next_step else QueueFull(queue, reason)
    return OperationalError(str(cause)) if isinstance(cause, redis.RedisError) else error
