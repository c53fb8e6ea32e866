"""What of this process a test may change and must put back: all that a later test would meet."""

from __future__ import annotations

import locale
import logging
import os
import resource
import signal
import socket
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from celery import _state

from tasks import app
from tasks.settings import TaskSettings

# Values by name, in groups; groups are compared whole first, so that a check costs milliseconds.
Surroundings = dict[str, dict[str, Any]]

ROOMS = frozenset(("browser_runtime", "tasks", "workers", "scheduler", "webinfer", "fixed_web_platform"))
# Other libraries set levels when a test is the first to import them.
LOGGERS = ROOMS | {"celery", "kombu", "asyncio"}
SIGNALS = [each for each in signal.Signals if each is not signal.SIGALRM]  # pytest's timeout sets the alarm
LIMITS = {name: getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
# Of an app that has not asked for any yet.
USUAL = TaskSettings()
# What may be there afterwards without having been there before: used for the first time.
GROWING = ("module", "logger", "configuration of the app", "global of")


def observe() -> Surroundings:
    """Everything that is compared."""
    return {
        "environment variable": {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"},
        "handler of": {number.name: signal.getsignal(number) for number in SIGNALS},
        "limit": {name: resource.getrlimit(limit) for name, limit in LIMITS.items()},
        "logger": dict(_loggers()),
        "module": dict(sys.modules),
        "process": {
            "folder": Path.cwd(),
            "temporary folder": tempfile.tempdir,
            "sys.path": list(sys.path),
            "sys.argv": list(sys.argv),
            "hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook),
            "locale": locale.setlocale(locale.LC_ALL),
            "socket timeout": socket.getdefaulttimeout(),
            "NumPy errors": np.geterr(),
            "current app": _state._tls.current_app,
        },
        "settings of": {"app": app.__dict__.get("settings") or USUAL},
        "configuration of the app": dict(app.conf.items()) if app.configured else {},
        **dict(_globals()),
    }


def changes(before: Surroundings, after: Surroundings) -> list[str]:
    """A line for each difference that is not merely something used for the first time."""
    return [
        line
        for group in before.keys() & after.keys()
        if before[group] != after[group]
        for line in _differences(group, before[group], after[group])
    ]


def _differences(group: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    for name in sorted(before.keys() | after.keys()):
        if name not in before and group.startswith(GROWING):
            continue
        old, new = before.get(name, "absent"), after.get(name, "absent")
        if old is not new and (isinstance(old, ModuleType) or old != new):
            yield f"{group} {name}: {old!r:.200} became {new!r:.200}"


def _loggers() -> Iterator[tuple[str, Any]]:
    """What decides where the lines of each logger go."""
    for name, logger in [("root", logging.root), *logging.root.manager.loggerDict.items()]:
        if isinstance(logger, logging.Logger) and (name == "root" or name.partition(".")[0] in LOGGERS):
            handlers = [each for each in logger.handlers if not type(each).__module__.startswith("_pytest")]
            yield name, (logger.level, logger.disabled, logger.propagate, handlers)


def _globals() -> Iterator[tuple[str, dict[str, Any]]]:
    """The globals of our modules, and what is in those that are containers; all by identity."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ROOMS:
            yield (
                f"global of {name}",
                {
                    key: _contents(value) if _is_container(value) else id(value)
                    for key, value in vars(module).items()
                    if not key.startswith("__")
                },
            )


def _is_container(value: object) -> bool:
    """True unless it counts for the whole process, as metrics do."""
    return isinstance(value, (dict, list, set)) and not isinstance(value, Counter)


def _contents(value: dict[Any, Any] | list[Any] | set[Any]) -> Any:
    if isinstance(value, dict):
        return id(value), [(key, id(entry)) for key, entry in value.items()]  # a table's order decides too
    return id(value), list(map(id, value))
