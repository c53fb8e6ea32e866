"""Watches and decides: history, routing, regressions, reports, alerts, autoscaling, health. See README.md."""

from typing import Any


def __getattr__(name: str) -> Any:
    """`celery -A scheduler` looks for `app` or `celery`; who only reads history needs neither."""
    if name in ("app", "celery"):
        from browser_runtime.contract.setup.extras import MissingExtra

        try:
            from scheduler.app import app
        except MissingExtra as error:
            # The one kind of error that `celery -A scheduler` shows without a traceback.
            raise AttributeError(str(error)) from error
        globals().update(app=app, celery=app)
        return app
    raise AttributeError(name)
