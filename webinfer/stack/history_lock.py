"""One `up` a history: two would fight for the file, and what the second measured would be kept nowhere."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from browser_runtime.contract.errors import SetupError
from browser_runtime.contract.setup.environment import make_folder

REMEDY = "give this one its own with WEBINFER_HISTORY_PATH, or leave it out: --without-scheduler"


@contextmanager
def hold_history(path: Path) -> Iterator[None]:
    """While inside, the history at `path` is this process's to start an analytics worker on.

    Raises SetupError naming the process that holds it, BadSetting where it cannot be written.
    """
    make_folder("WEBINFER_HISTORY_PATH", path.parent)
    with path.with_name(f".{path.name}.up").open("a+") as stream:
        _lock(stream, path)
        _refuse_taken(path)
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield


def _lock(stream: IO[str], path: Path) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.seek(0)
        raise _taken(path, f"the `webinfer up` with process id {stream.read() or '?'}") from None


def _refuse_taken(path: Path) -> None:
    """DuckDB locks its file as a whole, in the way of POSIX."""
    if not path.exists():
        return
    with path.open("r+b") as stream:
        try:
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _taken(path, "another process, such as an analytics worker") from None


def _taken(path: Path, by: str) -> SetupError:
    return SetupError("a history of its own", f"{path} is held by {by}; {REMEDY}")
