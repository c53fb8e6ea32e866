"""Requests for inference, and their way to a queue: `from tasks import infer`."""

from tasks.app import app
from tasks.diagnostics import echo, noop
from tasks.infer import infer
from tasks.many import infer_many

# `celery -A tasks` looks for either name.
celery = app

__all__ = ["app", "celery", "echo", "infer", "infer_many", "noop"]
