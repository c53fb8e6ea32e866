"""The autoscaling's task; it runs in the watch worker."""

from __future__ import annotations

from functools import cache

from scheduler.autoscaling.autoscaler import Autoscaler
from scheduler.periods import only_one
from scheduler.settings import SchedulerSettings
from tasks.app import app

# Longer than any look takes.
LOCK_S = 30.0


@cache
def autoscaler() -> Autoscaler:
    """This process's autoscaler."""
    return Autoscaler(app, SchedulerSettings())


@app.task(name="scheduler.autoscaling.decide", ignore_result=True)
def decide() -> None:
    """Decide once for every queue; nothing where another decision is still under way."""
    if SchedulerSettings().autoscaling == "off":
        return
    with only_one("autoscaling", LOCK_S) as is_ours:
        if is_ours:
            autoscaler().decide_all()
