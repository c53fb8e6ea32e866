"""Where the stack that `webinfer up` runs on this machine writes down its broker, for the other commands."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from webinfer.producing import use_broker
from webinfer.stack import Stack


def _path() -> Path:
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
    return state / "webinfer" / "stack.json"


@contextmanager
def recorded(stack: Stack) -> Iterator[None]:
    """While inside, `running_broker` finds this stack."""
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"broker_url": stack.broker_url, "pid": os.getpid()}))
    path.chmod(0o600)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def running_broker() -> str | None:
    """The broker of the stack that runs on this machine; None when there is none."""
    try:
        told = json.loads(_path().read_text())
    except (OSError, ValueError):
        return None
    return str(told["broker_url"]) if psutil.pid_exists(int(told["pid"])) else None


def use_running_broker() -> None:
    """Point this process's producer at the running stack, unless WEBINFER_BROKER_URL already says where."""
    if "WEBINFER_BROKER_URL" not in os.environ and (url := running_broker()):
        use_broker(url)
