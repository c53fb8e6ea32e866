"""The Celery app with every task of the scheduler: `celery -A scheduler worker -Q watch`, `... beat`."""

from __future__ import annotations

import importlib
import importlib.util

from scheduler.health.beats import BeatWatch
from tasks.app import app

__all__ = ["app"]

ROOMS = ("history", "routing", "regression", "reports", "alerts", "autoscaling", "health")

for _room in ROOMS:
    if importlib.util.find_spec(f"scheduler.{_room}.tasks") is not None:
        importlib.import_module(f"scheduler.{_room}.tasks")

app.add_defaults(lambda: {"beat_scheduler": "scheduler.beat:OnceScheduler"})
app.steps["consumer"].add(BeatWatch)
