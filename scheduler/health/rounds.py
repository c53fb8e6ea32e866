"""A round of canaries: judges overdue ones, and sends new ones to queues without a pending one."""

from __future__ import annotations

import time
import uuid

from celery import Signature
from celery.result import AsyncResult

from scheduler.autoscaling.signals import Signals
from scheduler.health.canaries import (
    DIGITS,
    MODEL,
    CanaryStore,
    Pending,
    judge_silence,
    judge_unserved,
    read_digit,
)
from tasks.app import WATCH_QUEUE, WebinferApp
from tasks.broker.queue_depths import read_depths
from tasks.infer import infer
from tasks.routing.router import QUEUE_OF

NOTE, NOTE_FAILURE = "scheduler.health.note", "scheduler.health.note_failure"


class CanaryRounds:
    """Sends canaries to every browser queue."""

    def __init__(self, app: WebinferApp, deadline_s: float) -> None:
        self._app, self._deadline_s = app, deadline_s
        self._signals = Signals(app)
        self.store = CanaryStore(app.redis, app.settings.redis_prefix)
        self._n_sent = 0
        self._latest: dict[str, str] = {}

    def run(self) -> None:
        """Run one round. Raises redis.RedisError."""
        depths = read_depths(self._signals.broker, QUEUE_OF.values()).waiting
        workers = self._signals.ask_workers().values()
        served = {queue for worker in workers for queue in worker.queues}
        for queue, n_waiting in depths.items():
            self._check_queue(queue, n_waiting, queue in served)

    def _check_queue(self, queue: str, n_waiting: int, is_served: bool) -> None:
        pending, now = self.store.pending(queue), time.time()
        verdict = judge_silence(pending, n_waiting, now, self._deadline_s)
        if verdict is None and not is_served:
            verdict = judge_unserved(self.store.read(queue) is not None, n_waiting, now)
        if verdict is not None:
            self.store.write(queue, verdict, served=is_served)
            self.store.settle([queue])
            pending = None
        if pending is None and is_served:
            self._send(queue, now)

    def _send(self, queue: str, now: float) -> None:
        self._n_sent += 1
        digit, name = DIGITS[self._n_sent % len(DIGITS)], uuid.uuid4().hex
        about = {"queue": queue, "canary": name, "expected": digit, "sent_at": now}
        self._forget_latest(queue, f"canary-{name}")
        self.store.send(queue, Pending(name, now))
        try:
            infer.apply_async(
                kwargs={"model_type": "vision", "model_name": MODEL, "inputs": read_digit(digit)},
                queue=queue,
                task_id=f"canary-{name}",
                expires=self._deadline_s,
                link=Signature(NOTE, kwargs=about, options={"queue": WATCH_QUEUE}),
                link_error=Signature(NOTE_FAILURE, kwargs=about, options={"queue": WATCH_QUEUE}),
            )
        except BaseException:
            self.store.settle([queue])  # it was never sent
            raise

    def _forget_latest(self, queue: str, name: str) -> None:
        """Delete the result of the previous canary, whose verdict is stored."""
        before = self._latest.get(queue)
        self._latest[queue] = name
        if before is not None:
            AsyncResult(before, app=self._app).forget()

    def close(self) -> None:
        """Close the connections."""
        self._signals.close()
