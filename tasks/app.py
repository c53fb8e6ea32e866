"""The Celery app: `celery -A webinfer worker -Q chrome-vision`, `celery -A webinfer beat`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from typing import Any, TypeVar

from celery import Celery, Task
from celery._state import connect_on_app_finalize
from celery.result import AsyncResult
from celery.signals import after_setup_logger, after_setup_task_logger
from click import ClickException
from kombu import Exchange, Queue
from kombu.serialization import register
from kombu.utils.imports import symbol_by_name
from redis import Redis

from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.setup.command_line import hide_passwords
from browser_runtime.contract.setup.environment import check_environment
from browser_runtime.contract.setup.extras import MissingExtra
from browser_runtime.contract.setup.log_lines import guard_lines
from browser_runtime.contract.setup.proxies import exempt_loopback
from tasks.broker.essential_writes import EssentialRedis
from tasks.broker.redis_clients import connect
from tasks.browser_task import BrowserTask
from tasks.keys import UNACKED, UNACKED_INDEX
from tasks.payloads.claims import Claims
from tasks.payloads.codec import loads
from tasks.routing.router import DEFAULT_QUEUE, INBOX, QUEUE_OF
from tasks.routing.routing_table import RoutingCopy, fetch_from
from tasks.sending.admission import Admission
from tasks.sending.amqp import PlainControl, WebinferAmqp, is_ours
from tasks.sending.execution_options import check_execution_options
from tasks.sending.headers import JSON, READS
from tasks.sending.neighbours import prepare_foreign
from tasks.settings import TaskSettings
from tasks.streaming.writer import StreamWriter

T = TypeVar("T", bound=Task[Any, Any])

# The scheduler's: one process that owns the history, and one for all that must not wait for it.
ANALYTICS_QUEUE = "analytics"
WATCH_QUEUE = "watch"
QUEUES = (DEFAULT_QUEUE, ANALYTICS_QUEUE, WATCH_QUEUE, INBOX, *QUEUE_OF.values())


@after_setup_logger.connect(weak=False)
@after_setup_task_logger.connect(weak=False)
def _guard_lines(logger: logging.Logger, **_: object) -> None:
    """The names in Celery's lines are the producers': an id, a task, an argument."""
    guard_lines(logger)


class WebinferApp(Celery):
    """A Celery app that reads `WEBINFER_*` when it is first used, not when it is imported."""

    def adopt(self, task: T) -> T:
        """`task`, registered when the app is finalized: registering it now would read the configuration."""
        type(task)._app = self  # type: ignore[attr-defined]  # the stubs know only the bound property
        connect_on_app_finalize(lambda app: app.register_task(task) if app is self else None)
        return task

    def send_task(  # type: ignore[override]  # the stubs list every option by name
        self, name: str, args: Any = None, kwargs: Any = None, **options: Any
    ) -> AsyncResult[Any]:
        """Send a task by its name. Those for browsers are checked and find their queue as by `delay`."""
        by_name = options.get("task_type") is None
        task = self.tasks.get(name) if by_name else None
        if isinstance(task, BrowserTask):
            return task.apply_async(args, kwargs, **options)
        check_execution_options(options)
        if by_name and task is None:
            args, kwargs = prepare_foreign(self, args, kwargs, options)
        producer = options.get("producer")
        if producer is not None and not is_ours(producer):
            # A canvas of another app: its connection may lead elsewhere, and it reads the results itself.
            options["producer"] = None
            options["headers"] = (options.get("headers") or {}) | {READS: JSON}
        return super().send_task(name, args, kwargs, **options)

    def Worker(self, **options: Any) -> Any:  # type: ignore[override]  # noqa: N802  # Celery's name, which its command calls
        """A worker; one of the scheduler's queues knows the scheduler's tasks. Raises ClickException."""
        queues = options.get("queues") or ()
        named = queues.split(",") if isinstance(queues, str) else queues
        if {ANALYTICS_QUEUE, WATCH_QUEUE} & set(named):
            _load_scheduler()
        return self.subclass_with_self(symbol_by_name("celery.apps.worker:Worker"))(**options)

    def Beat(self, **options: Any) -> Any:  # type: ignore[override]  # noqa: N802  # likewise
        """A beat of the scheduler's timetable; Celery's own where a program has set a `beat_schedule`.

        Raises ClickException.
        """
        self.serve()
        if not self.conf.beat_schedule:
            usual = self.conf.beat_scheduler
            _load_scheduler()
            if options.get("scheduler") == usual:  # filled in by the command, from the settings so far
                options["scheduler"] = self.conf.beat_scheduler
        return self.subclass_with_self(symbol_by_name("celery.apps.beat:Beat"))(**options)

    @cached_property
    def settings(self) -> TaskSettings:
        """The environment's settings, read once."""
        return TaskSettings()

    serves = False
    """True in a process whose writes empty Redis: it insists on them (tasks/broker/essential_writes.py)."""

    def serve(self) -> None:
        """Be such a process from now on."""
        self.serves = True
        self.conf.broker_transport_options = {**self.conf.broker_transport_options, "essential": True}
        self.__dict__.pop("redis", None)
        self._backend_cache = None  # a client of the other kind
        with suppress(AttributeError):
            del self._local.backend  # type: ignore[attr-defined]  # the stubs stop short of it

    @cached_property
    def redis(self) -> Redis:
        """A client of the Redis that holds results and claims."""
        return connect(self.settings.results, EssentialRedis if self.serves else Redis)

    @cached_property
    def optional_redis(self) -> Redis:
        """Likewise, for what may be dropped: refused while Redis is at its memory limit."""
        return connect(self.settings.results)

    @cached_property
    def admission(self) -> Admission:
        """Whether there is room for one request more."""
        return Admission((self.settings.broker_url, self.settings.results), self.settings.redis_memory_share)

    @cached_property
    def routing(self) -> RoutingCopy:
        """The routing table and the presence of workers: a copy, at most seconds old."""
        return RoutingCopy(fetch_from(lambda: self.settings))

    @cached_property
    def claims(self) -> Claims:
        """The claim check for arrays too large for a message."""
        settings = self.settings
        return Claims(
            lambda: self.redis, settings.redis_prefix, settings.claim_ttl_s, settings.inline_limit_bytes
        )

    @cached_property
    def stream_writer(self) -> StreamWriter:
        """Writes the pieces of replies that this process generates."""
        return StreamWriter(lambda: self.redis, self.settings.result_ttl_s)


class WorkerOptions(set[Any]):
    """The worker's own command line options; only the `celery` command iterates, and so imports, them."""

    def __iter__(self) -> Iterator[Any]:
        return iter(symbol_by_name("workers.options:OPTIONS"))


class CommandStart(set[Any]):
    """No option at all; but only the `celery` command iterates it, before it runs any of its commands."""

    def __iter__(self) -> Iterator[Any]:
        """Raises what click prints in one line where a setting is wrong."""
        hide_passwords()
        exempt_loopback()
        try:
            check_environment()
        except InferenceError as error:
            raise ClickException(str(error)) from error
        return iter(())


def _load_scheduler() -> None:
    """Register the scheduler's tasks, by name: a producer must not import its room. Raises ClickException."""
    try:
        symbol_by_name("scheduler.app:app")
    except MissingExtra as error:
        raise ClickException(str(error)) from error


def configuration(settings: TaskSettings) -> dict[str, Any]:
    """Celery's settings. What holds no comment is explained in docs/celery.md."""
    return {
        "broker_url": settings.broker_url,
        "result_backend": settings.results,
        "result_expires": settings.result_ttl_s,
        "task_serializer": "tensor",
        "result_serializer": "tensor",
        "accept_content": ["tensor", "json"],
        "task_queues": [Queue(name, Exchange(name), name) for name in QUEUES],
        "task_default_queue": DEFAULT_QUEUE,
        "task_create_missing_queues": False,  # a mistyped queue is refused, not filled unseen
        "task_time_limit": settings.task_time_limit_s,
        "task_send_sent_event": False,
        "worker_send_task_events": True,  # Flower; costs about 40 % of no-op throughput
        **_worker(settings),
        **_nothing_lost(settings),
    }


def _worker(settings: TaskSettings) -> dict[str, Any]:
    return {
        # By name: a producer must not import the worker's room.
        "worker_pool": "workers.execution.task_pool:TaskPool",
        "worker_consumer": "workers.delivery.consumer:SafeConsumer",
        # The least in flight; a worker with browsers raises it to what its lanes can take.
        "worker_concurrency": 1,
        "worker_prefetch_multiplier": 1,
        "worker_soft_shutdown_timeout": settings.grace_s,
        "worker_redirect_stdouts": False,  # structured logs keep their own form
        "worker_enable_prefetch_count_reduction": False,  # the slots are the browsers', not the connection's
    }


def _nothing_lost(settings: TaskSettings) -> dict[str, Any]:
    """A task is redelivered until its result is stored, and stored once."""
    return {
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_acks_on_failure_or_timeout": True,
        "worker_deduplicate_successful_tasks": True,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "result_backend_always_retry": True,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # A Redis that refuses a command for want of memory or disk is as good as away.
        "broker_channel_error_retry": True,
        "result_backend_max_sleep_between_retries_ms": 1000,
        "broker_transport_options": {
            # A worker renews what it holds (workers/delivery/leases.py), so this need not outlast a task.
            "visibility_timeout": settings.redelivery_s,
            "unacked_key": UNACKED,
            "unacked_index_key": UNACKED_INDEX,
            "socket_keepalive": True,
            "health_check_interval": 25,
            "ledger_prefix": settings.ledger_prefix,
            "max_queue_length": settings.max_queue_length,
        },
        # A producer gets an error after about three seconds without Redis.
        "task_publish_retry_policy": {
            "max_retries": 4,
            "interval_start": 0.1,
            "interval_step": 0.5,
            "interval_max": 1,
        },
    }


# Not the current app: a program's own `@shared_task`s and `current_app` stay its own. A worker of ours
# makes it current when it starts.
app = WebinferApp("webinfer", set_as_current=False, amqp=WebinferAmqp, control=PlainControl)


def _dumps(value: Any) -> bytes:
    """The message for `value`; the claim check is looked up when it is needed, not on import."""
    return app.claims.dumps(value)


register(
    "tensor",
    _dumps,  # type: ignore[arg-type]  # kombu takes bytes; its stubs know text only
    loads,
    content_type="application/x-webinfer-tensor",
    content_encoding="binary",
)
app.add_defaults(lambda: configuration(app.settings))
app.loader.override_backends = {
    "redis": "tasks.payloads.backend:TensorBackend",
    "rediss": "tasks.payloads.backend:TensorBackend",
}
app.steps["worker"].update(("workers.steps:SafeKeeping", "workers.steps:BrowserPool"))
app.steps["consumer"].add("workers.steps:BrowserEvents")
app.user_options["worker"] = WorkerOptions()
app.user_options["preload"] = CommandStart()
