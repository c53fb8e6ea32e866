"""The tasks of the health checks; they run in the watch worker."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

from celery.result import AsyncResult

from browser_runtime.contract.orphans import end_orphans
from scheduler.health.canaries import Canary, judge_answer
from scheduler.health.leftovers import end_keys
from scheduler.health.rounds import NOTE, NOTE_FAILURE, CanaryRounds
from scheduler.periods import only_one
from scheduler.settings import SchedulerSettings
from tasks.app import app

LOCK_S = 30.0


@cache
def rounds() -> CanaryRounds:
    """The canaries of this process."""
    return CanaryRounds(app, SchedulerSettings().canary_deadline_s)


@app.task(name="scheduler.health.canary", ignore_result=True)
def canary() -> None:
    """Run one round of canaries."""
    with only_one("canary", LOCK_S) as is_ours:
        if is_ours:
            rounds().run()


@app.task(name=NOTE, ignore_result=True)
def note(reply: Any, queue: str, canary: str, expected: str, sent_at: float) -> None:
    """Judge the answer to a canary."""
    _settle(queue, canary, judge_answer(reply, expected, sent_at, time.time()))


@app.task(name=NOTE_FAILURE, ignore_result=True)
def note_failure(task_id: str, queue: str, canary: str, expected: str, sent_at: float) -> None:
    """Record a failed canary, with the error from its result."""
    why = repr(AsyncResult(task_id, app=app).result)
    _settle(queue, canary, Canary(False, "failed", f"the canary failed: {why[:300]}", time.time()))


def _settle(queue: str, canary: str, verdict: Canary) -> None:
    """Store the verdict, unless this canary is no longer pending."""
    store = rounds().store
    pending = store.pending(queue)
    if pending is not None and pending.id == canary:
        store.write(queue, verdict, served=True)
        store.settle([queue])


@app.task(name="scheduler.health.clean", ignore_result=True)
def clean() -> None:
    """Remove expired keys and orphaned browsers."""
    end_keys(app.redis, app.settings)
    end_orphans()
