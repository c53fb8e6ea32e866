"""The scheduler: history, routing, regressions, reports, alerts, autoscaling, health. See README.md."""

from typing import Any


def __getattr__(name: str) -> Any:
    """The app that `celery -A scheduler` looks for, imported on demand: reading the history needs none."""
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
