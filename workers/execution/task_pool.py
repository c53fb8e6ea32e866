"""A Celery task pool on an event loop: hundreds of tasks in flight without a thread each.

Phase one runs a task's body on the loop. Phase two gives its outcome to Celery's own tracer in one of a few
finisher threads: so results, links, chords, retries, signals, events and acknowledgements stay Celery's.
Anything that touches Redis happens in a finisher, never on the loop. Plain tasks run in threads.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from celery.concurrency.base import BasePool, apply_target
from celery.utils.log import get_logger

from browser_runtime.background import TaskSet
from browser_runtime.loops import LoopThread
from tasks.coroutines import CoroutineTask, Outcome
from workers.execution.jobs import HandedBack, Job
from workers.execution.reports import Reports
from workers.execution.sizing import Sizing

log = get_logger(__name__)

# Two keep Redis busy on two cores; more only take turns at the interpreter.
N_FINISHERS = 2
# Jobs that are let go end at their next await; then nothing is left to wait for.
HAND_BACK_TIMEOUT_S = 5.0


class TaskPool(BasePool):
    """Celery finds this class by name: see `tasks.app`. `limit` is how many bodies run at a time."""

    signal_safe = False
    body_can_be_buffer = True
    task_join_will_block = False
    limit: int

    def __init__(self, limit: int = 1, **options: Any) -> None:
        super().__init__(limit, **options)
        self.sizing: Sizing | None = None
        """Set by a worker that owns browsers: grow and shrink then change their number."""
        self.before_end: Callable[[], None] | None = None
        """Set by who needs the loop to the last: called when nothing is in flight any more."""
        self._ended = False
        self._jobs: set[Job] = set()
        self._running = TaskSet()
        self._waiting: deque[Job] = deque()
        self._suspects: deque[Job] = deque()
        self._suspect: Job | None = None
        self._n_running = 0
        self._n_in_flight = 0
        self._landed = threading.Condition()

    # --- life

    def on_start(self) -> None:
        """Start the loop and the threads."""
        self.loop = LoopThread("task-pool")
        self.loop.start()
        self._finishers = ThreadPoolExecutor(N_FINISHERS, "finisher")
        self._threads = ThreadPoolExecutor(max(self.limit, 1), "plain-task")
        self._reports = Reports(self.app)

    def drain(self, timeout_s: float | None) -> bool:
        """Wait for everything in flight; whether it ended in time."""
        with self._landed:
            return self._landed.wait_for(lambda: self._n_in_flight == 0, timeout_s)

    def hand_back(self) -> None:
        """Let go of what is in flight: unacknowledged, it goes to another worker."""
        self.loop.loop.call_soon_threadsafe(self._let_go)
        self.drain(HAND_BACK_TIMEOUT_S)

    def _let_go(self) -> None:
        for job in self._jobs:
            job.end(HandedBack())
        self._admit()

    def on_stop(self) -> None:
        """Finish within the grace time, hand back the rest, end loop and threads."""
        if not self._ended and not self.drain(self.app.settings.grace_s):
            log.warning("grace time over: n_returned=%s", self._n_in_flight)
        self._end()

    def on_terminate(self) -> None:
        """Hand everything back, end loop and threads. Celery may call it twice."""
        self._end()

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        self.hand_back()
        if self.before_end is not None:
            self.before_end()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._finishers.shutdown(wait=True)
        self.loop.stop()

    # --- Celery's thread

    def on_apply(  # type: ignore[override]  # the stubs name none of the arguments
        self,
        target: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        callback: Callable[..., Any],
        accept_callback: Callable[..., Any] | None = None,
        soft_timeout: float | None = None,
        timeout: float | None = None,
        **more: Any,
    ) -> Job | None:
        """Take a task in. The job is what Celery calls to terminate it; None for a plain task."""
        task = self.app.tasks[args[0]]
        with self._landed:
            self._n_in_flight += 1
        if not isinstance(task, CoroutineTask):
            self._threads.submit(self._run_plain, target, args, kwargs, callback, accept_callback)
            return None
        job = Job(
            task,
            target,
            args,
            self.loop.loop,
            callback,
            accept_callback,
            more.get("timeout_callback"),
            more.get("error_callback"),
            soft_timeout or self.options.get("soft_timeout"),
            timeout or self.options.get("timeout"),
        )
        self.loop.loop.call_soon_threadsafe(self._enter, job)
        return job

    def _run_plain(self, target: Any, args: Any, kwargs: Any, callback: Any, accept_callback: Any) -> None:
        try:
            apply_target(target, args, kwargs, callback, accept_callback)
        except Exception as error:
            self._drop(args, callback, error)
        finally:
            self._land()

    def _drop(self, args: tuple[Any, ...], callback: Any, error: Exception) -> None:
        """Nothing may keep a slot for ever: neither what Celery raised nor what telling of it raises."""
        log.error("outcome not reported: task=%s", args[1], exc_info=error)
        try:
            self._reports.drop(args, callback, error)
        except Exception:
            log.exception("message not dropped: task=%s", args[1])

    def _land(self) -> None:
        with self._landed:
            self._n_in_flight -= 1
            self._landed.notify_all()

    # --- the loop

    def _enter(self, job: Job) -> None:
        self._jobs.add(job)
        (self._suspects if job.is_suspect else self._waiting).append(job)
        self._admit()

    def _admit(self) -> None:
        """Start waiting jobs while there is room; one that was ended meanwhile needs none."""
        while self._waiting and (self._n_running < self.limit or self._waiting[0].ended.done()):
            self._start(self._waiting.popleft())
        # Suspects one at a time: so a worker's death tells which of them is guilty.
        while self._suspects and self._may_start(self._suspects[0]):
            job = self._suspects.popleft()
            self._suspect = job if not job.ended.done() else self._suspect
            self._start(job)

    def _may_start(self, suspect: Job) -> bool:
        return suspect.ended.done() or (self._suspect is None and self._n_running < self.limit)

    def _start(self, job: Job) -> None:
        self._n_running += 1
        self._running.spawn(self._drive(job))

    async def _drive(self, job: Job) -> None:
        """One job from its start to Celery's callbacks."""
        try:
            outcome = await self._outcome(job)
            await self._in_finisher(self._reports.finish, job, outcome)
        except Exception as error:
            await self._in_finisher(self._drop, job.args, job.callback, error)
        finally:
            self._jobs.discard(job)
            self._suspect = None if self._suspect is job else self._suspect
            self._n_running -= 1
            self._admit()
            self._land()

    async def _outcome(self, job: Job) -> Outcome | BaseException:
        if job.ended.done() and isinstance(job.ended.result(), HandedBack):
            return job.ended.result()  # it never started: nothing to report
        accepted = self._in_finisher(self._reports.accept, job)
        if job.redelivered and (verdict := await accepted) is not None:
            return cast(Outcome, verdict)
        # A message that is here for the first time is run in any case: Celery hears of its start meanwhile.
        outcome = await job.outcome(
            lambda limit_s: self._finishers.submit(self._reports.soft_limit, job, limit_s)
        )
        await accepted
        return outcome

    def _in_finisher(self, work: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        return self.loop.loop.run_in_executor(self._finishers, work, *args)

    # --- size and state

    def grow(self, n: int = 1) -> None:
        """`n` more sessions (or, in a worker without browsers, tasks at a time). Returns at once."""
        if self.sizing is None:
            self.set_limit(self.limit + n)
        else:
            self.sizing.change(n)

    def shrink(self, n: int = 1) -> None:
        """`n` fewer. Returns at once."""
        self.grow(-n)

    def set_limit(self, limit: int) -> None:
        """Let at most `limit` bodies run at a time, from now on."""
        self.limit = max(limit, 1)
        self.loop.loop.call_soon_threadsafe(self._admit)

    @property
    def num_processes(self) -> int:
        """The number that Celery multiplies with the prefetch multiplier."""
        return self.limit

    def terminate_job(self, pid: int, signal: int | None = None) -> None:
        """Nothing: every job shares this process's id; Celery also calls `Job.terminate`."""

    def restart(self) -> None:
        """Nothing to restart: code is not reloaded under running browsers."""

    def _get_info(self) -> dict[str, Any]:
        info: dict[str, Any] = super()._get_info()  # type: ignore[misc]
        if self.sizing is not None:
            info["sessions"] = self.sizing.n_sessions
        info |= {"processes": [os.getpid()], "running": self._n_running, "waiting": len(self._waiting)}
        info["suspects"] = len(self._suspects)
        return info
