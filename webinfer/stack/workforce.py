"""The local scaler: runs as many worker processes per queue as decided, under the stack's supervisor."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import redis

from browser_runtime.contract.vocabulary import Browser
from scheduler.autoscaling.desired import DesiredStore, DesiredWorkers
from tasks.broker.redis_clients import connect
from tasks.routing.router import QUEUE_OF
from webinfer.stack.commands import node_name
from webinfer.stack.processes import ManagedProcess
from webinfer.stack.supervision import Supervisor, Tell

log = logging.getLogger(__name__)

# Wait before reconnecting to Redis.
RETRY_S = 1.0

MakeWorker = Callable[[Browser, int], ManagedProcess]
"""Makes a worker of a browser with a number, without starting it."""


class Workforce:
    """Carries out decisions for the stack's own queues."""

    def __init__(
        self, supervisor: Supervisor, workers: dict[Browser, ManagedProcess], make: MakeWorker, tell: Tell
    ) -> None:
        self._supervisor, self._make, self._tell = supervisor, make, tell
        self._workers: dict[Browser, dict[int, ManagedProcess]] = {
            b: {1: part} for b, part in workers.items()
        }
        self._since = time.time()
        self._done_at: dict[str, float] = {}

    def follow(self, desired: dict[str, DesiredWorkers]) -> None:
        """Start and stop workers as decided; decisions from before this stack started are ignored."""
        for browser, numbered in self._workers.items():
            wanted = desired.get(QUEUE_OF[browser])
            if wanted is None or wanted.dry_run or wanted.at <= self._done_at.get(wanted.queue, self._since):
                continue
            self._done_at[wanted.queue] = wanted.at
            self._follow(browser, numbered, wanted)

    def _follow(self, browser: Browser, numbered: dict[int, ManagedProcess], wanted: DesiredWorkers) -> None:
        for number in [n for n, part in numbered.items() if part not in self._supervisor.parts]:
            del numbered[number]
        staying = [n for n, part in numbered.items() if not self._supervisor.is_retired(part)]
        for _ in range(wanted.n - len(staying)):
            self._start_worker(browser, numbered, wanted)
        named = [n for n in staying if node_name(browser, n) in wanted.stop]
        others = sorted((n for n in staying if n not in named), reverse=True)
        for number in (named + others)[: max(len(staying) - wanted.n, 0)]:
            self._tell(numbered[number].name, f"stopping: {wanted.reason}")
            self._supervisor.retire(numbered[number])

    def _start_worker(
        self, browser: Browser, numbered: dict[int, ManagedProcess], wanted: DesiredWorkers
    ) -> None:
        number = next(n for n in range(1, len(numbered) + 2) if n not in numbered)
        numbered[number] = part = self._make(browser, number)
        self._supervisor.add(part)
        self._tell(part.name, f"starting: {wanted.reason}")  # from here on others may wait for it


class DesiredWorkersSubscriber:
    """A thread that passes every new decision to the supervisor's thread."""

    def __init__(self, broker_url: str, prefix: str, supervisor: Supervisor, workforce: Workforce) -> None:
        self._client = connect(broker_url)
        self._desired = DesiredStore(self._client, prefix)
        self._supervisor, self._workforce = supervisor, workforce
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="desired-workers", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._client.close()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                for desired in self._desired.changes():
                    if self._stopped.is_set():
                        return
                    self._supervisor.submit(lambda desired=desired: self._workforce.follow(desired))  # type: ignore[misc]
            except (redis.RedisError, OSError, ValueError):  # Redis is down, or the client was closed
                self._stopped.wait(RETRY_S)
            except Exception:
                log.exception("desired workers not read")
                self._stopped.wait(RETRY_S)
