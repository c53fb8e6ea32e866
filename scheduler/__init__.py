"""Watches and decides: history, routing, regressions, reports, alerts, autoscaling, health. See README.md."""

from typing import Any


def __getattr__(name: str) -> Any:
    """`celery -A scheduler` looks for `app` or `celery`; who only reads history needs neither."""
    if name in ("app", "celery"):
        from scheduler.app import app

        globals().update(app=app, celery=app)
        return app
    raise AttributeError(name)
