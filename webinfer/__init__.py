"""AI inference in real web browsers: `from webinfer import infer, app`, and `celery -A webinfer worker ...`.

The package also holds the `webinfer` command, the local stack and the in-process integration.
"""

from typing import TYPE_CHECKING, Any

from webinfer.rooms import load_tasks

if TYPE_CHECKING:
    from tasks.app import app
    from tasks.diagnostics import echo, noop
    from tasks.infer import infer

__all__ = ["app", "echo", "infer", "noop"]

_HOMES = {"app": "app", "infer": "infer", "echo": "diagnostics", "noop": "diagnostics"}

load_tasks()


def __getattr__(name: str) -> Any:
    """`app` and the tasks, imported on first use: the command's help needs no Celery."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    # All of them: `celery -A webinfer` must know every task.
    for each, home in _HOMES.items():
        globals()[each] = getattr(importlib.import_module(f"tasks.{home}"), each)
    return globals()[name]
