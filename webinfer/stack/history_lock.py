"""One `webinfer up` per history: the analytics worker of a second one could not open the file."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from browser_runtime.contract.errors import NotReady
from browser_runtime.contract.setup.environment import make_folder

REMEDY = "give this one its own with WEBINFER_HISTORY_PATH, or leave it out: --without-scheduler"


@contextmanager
def hold_history(path: Path) -> Iterator[None]:
    """Reserve the history at `path` for this process while inside.

    Raises NotReady naming the process that holds it, BadSetting if it cannot be written.
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
    """Raises NotReady if another process has the file open: DuckDB holds a POSIX lock on it."""
    if not path.exists():
        return
    with path.open("r+b") as stream:
        try:
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _taken(path, "another process, such as an analytics worker") from None


def _taken(path: Path, by: str) -> NotReady:
    return NotReady(f"The history {path} is in use by {by}", REMEDY)
