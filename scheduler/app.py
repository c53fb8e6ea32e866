"""The Celery app with every task of the scheduler: `celery -A webinfer worker -Q watch`, `... beat`."""

from __future__ import annotations

import importlib

from browser_runtime.contract.setup.extras import require
from scheduler.health.beats import BeatWatch
from scheduler.timetable import ROUTES
from tasks.app import app

__all__ = ["app"]

require("scheduler")

ROOMS = ("history", "routing", "regression", "reports", "alerts", "autoscaling", "health")

for _room in ROOMS:
    try:
        importlib.import_module(f"scheduler.{_room}.tasks")
    except ModuleNotFoundError as error:
        if not str(error.name).startswith(f"scheduler.{_room}"):
            raise

app.add_defaults(lambda: {"beat_scheduler": "scheduler.beat:OnceScheduler", "task_routes": ROUTES})
app.steps["consumer"].add(BeatWatch)
