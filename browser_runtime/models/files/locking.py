"""One process at a time does a thing: a lock on a file, which the system frees when its holder dies."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from browser_runtime.contract.errors import SetupError
from browser_runtime.contract.setup.environment import make_folder

# Hidden: no model's name starts with a dot.
LOCK_FOLDER = ".locks"
# flock has no deadline of its own and tells no one when it is freed, so it is asked again.
POLL_S = 0.1


def lock_path(root: Path, name: str) -> Path:
    """The lock of those who change the model `name` in the store `root`."""
    return root / LOCK_FOLDER / f"{name.replace('/', '--')}.lock"


@contextmanager
def hold_lock(path: Path, what: str, deadline: float) -> Iterator[None]:
    """Holds the lock file at `path`, in a folder beside the models.

    Raises SetupError when another holds it past `deadline` (monotonic), BadSetting if it cannot be made.
    """
    make_folder("WEBINFER_MODELS_DIR", path.parent)
    with path.open("a") as stream:
        while not try_lock(stream.fileno()):
            if time.monotonic() >= deadline:
                raise SetupError(
                    what, "another process was still fetching it at the deadline; try again later"
                )
            time.sleep(POLL_S)
        yield


def try_lock(descriptor: int) -> bool:
    """True when the open file is now locked for this process alone, until it is closed."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
