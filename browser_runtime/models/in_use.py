"""Locks on models in use: all users share a lock, and a removal must hold it alone."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.setup.environment import make_folder
from browser_runtime.models.files.locking import LOCK_FOLDER, lock_path, try_lock

log = structlog.get_logger(__name__)

# A request that was just given its model has not loaded it yet.
MIN_HOLD_S = 60.0


class ModelsInUse:
    """The models that this process uses, each held by a lock that ends with the process at the latest."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._guard = threading.Lock()
        self._held: dict[str, tuple[int, float]] = {}
        """Descriptor and monotonic time of the last use, by name."""

    def take(self, name: str) -> None:
        """Marks the model as used, now; waits while another process removes it."""
        with self._guard:
            held = self._held.get(name)
            try:
                descriptor = held[0] if held else self._open(name)
            except OSError as error:  # a store that this process may only read: nobody removes from it either
                log.debug("model not marked as in use", model=name, reason=str(error))
                return
            self._held[name] = (descriptor, time.monotonic())

    def _open(self, name: str) -> int:
        path = use_path(self._root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return descriptor

    def release_unused(self, used: Collection[str], min_hold_s: float = MIN_HOLD_S) -> None:
        """Gives back the models that are not among `used` and were not asked for lately."""
        now = time.monotonic()
        with self._guard:
            for name, (descriptor, at) in list(self._held.items()):
                if name not in used and now - at >= min_hold_s:
                    del self._held[name]
                    os.close(descriptor)


def use_path(root: Path, name: str) -> Path:
    """The lock that the users of the model `name` share."""
    return root / LOCK_FOLDER / f"{name.replace('/', '--')}.use"


@contextmanager
def hold_unused(root: Path, name: str) -> Iterator[None]:
    """Keeps others from beginning to use the model. Raises BadInput if somebody uses it."""
    path = use_path(root, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            users = ", ".join(map(str, _lock_holders(path))) or "another"
            wanted = "a model that no running worker has loaded"
            raise BadInput("name", f"{name!r}, in use by process {users}", wanted) from error
        yield


@contextmanager
def hold_unchanged(root: Path, name: str) -> Iterator[None]:
    """Keeps others from fetching or importing the model. Raises BadInput while one does."""
    path = lock_path(root, name)
    make_folder("WEBINFER_MODELS_DIR", path.parent)
    with path.open("a") as stream:
        if not try_lock(stream.fileno()):
            holders = ", ".join(map(str, _lock_holders(path))) or "another"
            state = f"{name!r}, which process {holders} is fetching, importing or removing"
            raise BadInput("name", state, "a model that nobody changes at the moment; try again later")
        yield


def _lock_holders(path: Path) -> list[int]:
    """The processes that hold a lock on the file, as far as the system lists them."""
    inode = str(path.stat().st_ino)
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    rows = (line.split() for line in lines if " -> " not in line)
    return sorted({int(row[4]) for row in rows if row[5].rpartition(":")[2] == inode})
