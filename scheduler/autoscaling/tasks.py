"""The task of autoscaling; it runs in the watch worker."""

from __future__ import annotations

from functools import cache

from scheduler.autoscaling.autoscaler import Autoscaler
from scheduler.periods import only_one
from scheduler.settings import SchedulerSettings
from tasks.app import app

# Longer than any decision takes.
LOCK_S = 30.0


@cache
def autoscaler() -> Autoscaler:
    """The autoscaler of this process."""
    return Autoscaler(app, SchedulerSettings())


@app.task(name="scheduler.autoscaling.decide", ignore_result=True)
def decide() -> None:
    """Decide once for every queue, unless another process is deciding."""
    if SchedulerSettings().autoscaling == "off":
        return
    with only_one("autoscaling", LOCK_S) as is_ours:
        if is_ours:
            autoscaler().decide_all()
