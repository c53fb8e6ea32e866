"""The scheduler's Celery app: `celery -A scheduler worker -Q analytics -P solo`, `... beat`."""

from __future__ import annotations

import scheduler.history.tasks  # noqa: F401 - registers its tasks
from tasks.app import app

__all__ = ["app"]
