"""Reports of jobs to Celery. Everything here may block on Redis and runs in a finisher thread."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from billiard.einfo import ExceptionInfo
from celery.concurrency.base import apply_target
from celery.exceptions import TimeLimitExceeded

from browser_runtime.contract.errors import BadRequest, GivenUp
from tasks.app import WebinferApp
from tasks.broker.redis_clients import OUTAGES
from tasks.coroutines import Outcome, handing_over
from workers.delivery.dead_letters import DeadLetters
from workers.delivery.redelivery import Redeliveries
from workers.execution.clock import tracer_clock
from workers.execution.jobs import HandedBack, Job


class Reports:
    """Celery's callbacks for the jobs of one worker."""

    def __init__(self, app: WebinferApp) -> None:
        self._app = app
        self._redeliveries = Redeliveries(app)

    def accept(self, job: Job) -> Outcome | None:
        """The job starts. An outcome where a message that came again needs no run."""
        if job.accept_callback:
            job.accept_callback(os.getpid(), time.monotonic())
        return self._redeliveries.verdict(job.id, job.is_suspect) if job.redelivered else None

    def soft_limit(self, job: Job, limit_s: float) -> None:
        """Report that the body was asked to end."""
        if job.timeout_callback:
            job.timeout_callback(True, limit_s)

    def finish(self, job: Job, outcome: Outcome | BaseException) -> None:
        """The job ended: with an outcome, or for a reason from outside. Its worker lives: it is cleared."""
        if job.is_suspect and job.started:
            self._redeliveries.forgive(job.id)
        if isinstance(outcome, Outcome):
            self._trace(job, outcome)
        elif isinstance(outcome, TimeLimitExceeded):
            if job.timeout_callback:
                job.timeout_callback(False, job.hard_s)
        elif not isinstance(outcome, HandedBack):
            _tell(job, outcome)

    def drop(self, args: tuple[Any, ...], callback: Callable[..., Any], error: Exception) -> None:
        """Fail a task whose outcome could not be reported, keep the evidence, and free its slot.

        While Redis is away the message goes back to its queue instead. `args` and `callback` are what Celery
        gave the pool; nobody else would acknowledge the message any more.
        """
        delivery = getattr(callback, "__self__", None)  # Celery's request, of which it is a method
        is_outage = isinstance(error, OUTAGES)
        if not is_outage:
            headers = dict(args[2])
            why = BadRequest(f"what came of the task could not be reported: {error!r}")
            letters = DeadLetters(self._app, str(headers.get("hostname")))
            letters.fail(headers, {}, why)
            letters.keep(str(why), task=args[0], id=args[1], arguments=headers.get("kwargsrepr"))
        if delivery is not None:
            delivery.reject(requeue=is_outage)

    def _trace(self, job: Job, outcome: Outcome) -> None:
        """Run Celery's tracer on the outcome, with the time that the body took."""
        if isinstance(outcome.error, GivenUp):
            letters = DeadLetters(self._app, str(job.request.get("hostname")))
            letters.keep(
                str(outcome.error), task=job.args[0], id=job.id, arguments=job.request.get("kwargsrepr")
            )
        took_s = time.monotonic() - job.started if job.started else 0.0
        with handing_over(outcome), tracer_clock.set_back(took_s):
            apply_target(job.target, job.args, {}, job.callback, None)


def _tell(job: Job, reason: BaseException) -> None:
    """Celery wants the reason as if it had been raised."""
    try:
        raise reason  # noqa: TRY301 - ExceptionInfo reads what is being raised
    except BaseException:
        if job.error_callback:
            job.error_callback(ExceptionInfo())
