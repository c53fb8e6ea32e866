"""The broker of this user's `webinfer up` on this machine: written by `up`, read by every producer.

Each `up` holds a lock on its own record as long as it lives; the system frees the lock however the process
ends. So a record that nobody holds is of a process that is gone, and is ignored.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

STANDARD_URL = "redis://localhost:6379/0"
"""Address of a Redis that was installed and not configured."""


def default_broker_url() -> str:
    """The broker of the `webinfer up` started last on this machine, else Redis's usual address."""
    return find_running_broker() or STANDARD_URL


def find_running_broker() -> str | None:
    """The URL recorded by the `webinfer up` started last among those that still run; None without any."""
    try:
        paths = list(_folder().glob("*.json"))
    except (OSError, RuntimeError):  # no home folder, or not ours to read
        return None
    found = [record for path in paths if (record := _read_if_held(path))]
    return max(found)[1] if found else None


@contextmanager
def record_broker(url: str) -> Iterator[None]:
    """While inside, this user's processes on this machine find `url`. Raises OSError."""
    import fcntl

    path = _folder() / f"{os.getpid()}.json"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_stale()
    # Locked before it has its name, so that nobody takes it for stale.
    unnamed = path.with_suffix(".new")
    unnamed.touch(mode=0o600)  # a URL may hold a password
    with unnamed.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        json.dump({"broker_url": url, "started_at": time.time()}, stream)
        stream.flush()
        unnamed.rename(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _folder() -> Path:
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
    return state / "webinfer" / "stacks"


def _read_if_held(path: Path) -> tuple[float, str] | None:
    """Time and URL of the record at `path`; None for a stale or unreadable one."""
    try:
        with path.open() as stream:
            if not _is_held(stream.fileno()):
                return None
            record = json.load(stream)
        return float(record["started_at"]), str(record["broker_url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_held(descriptor: int) -> bool:
    """True if another open file holds the lock. The probe is shared: two readers do not see each other."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _remove_stale() -> None:
    for path in _folder().glob("*.json"):
        with suppress(OSError), path.open() as stream:
            if not _is_held(stream.fileno()):
                path.unlink(missing_ok=True)
