"""One Celery task inside the pool: what Celery gave to run it, and how it can be ended early."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from celery.app.task import Context
from celery.exceptions import SoftTimeLimitExceeded, Terminated, TimeLimitExceeded

from tasks.coroutines import CoroutineTask, Outcome, serving
from workers.delivery.holding import SUSPECT
from workers.execution.interruption import Interruptible


class HandedBack(Exception):
    """The worker stops: the message stays unacknowledged, and so goes to another worker."""


@dataclass(slots=True, weakref_slot=True, eq=False)
class Job:
    """Celery's own callbacks and limits for one task, and its state on the event loop.

    Celery keeps a weak reference to it as the pool's result, and calls `terminate`.
    """

    task: CoroutineTask
    target: Callable[..., Any]
    args: tuple[Any, ...]
    loop: asyncio.AbstractEventLoop
    callback: Callable[..., Any]
    accept_callback: Callable[..., Any] | None = None
    timeout_callback: Callable[..., Any] | None = None
    error_callback: Callable[..., Any] | None = None
    soft_s: float | None = None
    hard_s: float | None = None
    ended: asyncio.Future[BaseException] = field(init=False)
    """Set to the reason when the job must end without an outcome of its own."""
    started: float = 0.0

    def __post_init__(self) -> None:
        self.ended = self.loop.create_future()

    @property
    def id(self) -> str:
        """The task's id."""
        return str(self.args[1])

    @property
    def request(self) -> dict[str, Any]:
        """Celery's request as a dict."""
        request: dict[str, Any] = self.args[2]
        return request

    @property
    def redelivered(self) -> bool:
        """True if the message has been with a worker before."""
        return bool((self.request.get("delivery_info") or {}).get("redelivered"))

    @property
    def is_suspect(self) -> bool:
        """True if the worker that had the message before died with it in flight."""
        return (self.request.get("delivery_info") or {}).get("redelivered") == SUSPECT

    def terminate(self, signum: int | None = None) -> None:
        """End the job as revoked. Called by Celery from its own thread."""
        self.loop.call_soon_threadsafe(self.end, Terminated(signum))

    def end(self, reason: BaseException) -> None:
        """End the job for `reason`, unless it has ended. On the loop."""
        if not self.ended.done():
            self.ended.set_result(reason)

    async def outcome(self, on_soft_limit: Callable[[float], Any]) -> Outcome | BaseException:
        """The body's outcome, or the reason why it was ended early.

        At the soft limit the body sees SoftTimeLimitExceeded; at the hard one it is cancelled and left alone.
        """
        self.started = time.monotonic()
        body = Interruptible(self._serve())
        work = self.loop.create_task(_settled(body))
        timers = self._start_timers(body, on_soft_limit)
        try:
            waited: set[asyncio.Future[Any]] = {work, self.ended}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            return self.ended.result() if self.ended.done() else work.result()
        finally:
            work.cancel()
            for timer in timers:
                timer.cancel()

    def _start_timers(
        self, body: Interruptible, on_soft_limit: Callable[[float], Any]
    ) -> list[asyncio.TimerHandle]:
        timers = []
        if self.soft_s:
            timers.append(self.loop.call_later(self.soft_s, self._on_soft, body, on_soft_limit))
        if self.hard_s:
            timers.append(self.loop.call_later(self.hard_s, self.end, TimeLimitExceeded(self.hard_s)))
        return timers

    def _on_soft(self, body: Interruptible, on_soft_limit: Callable[[float], Any]) -> None:
        on_soft_limit(self.soft_s or 0.0)
        body.interrupt(SoftTimeLimitExceeded(self.soft_s))

    async def _serve(self) -> Any:
        """The task's body, with `task.request` set for it."""
        args, kwargs = self.request["args"], self.request["kwargs"]
        with serving(Context(self.request, args=args, kwargs=kwargs, called_directly=False)):
            return await self.task.body(*args, **kwargs)


async def _settled(body: Interruptible) -> Outcome:
    try:
        return Outcome(await body)
    except asyncio.CancelledError:
        raise
    except (SystemExit, KeyboardInterrupt) as error:
        # It would end the loop, and with it every other task.
        return Outcome(error=RuntimeError(f"the task tried to end its worker: {error!r}"))
    except BaseException as error:
        return Outcome(error=error)
