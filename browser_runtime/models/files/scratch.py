"""Folders for what is on its way into the store, and the end of those whose owner died."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from browser_runtime.models.files.locking import LOCK_FOLDER, hold_lock, try_lock

log = structlog.get_logger(__name__)

# Hidden: no model's name starts with a dot.
PARTIAL_FOLDER = ".partial"
PREFIX = "import-"
# What a pull left is resumed by the next one; after a week nobody is coming back for it.
MAX_AGE_S = 7 * 86_400.0
SWEEP_LOCK = f"{LOCK_FOLDER}/.sweep.lock"
SWEEP_TIMEOUT_S = 60.0


@contextmanager
def hold_scratch(root: Path) -> Iterator[Path]:
    """A folder of this process alone in the store `root`, gone afterwards.

    What dead processes left goes first.
    """
    home = root / PARTIAL_FOLDER
    home.mkdir(parents=True, exist_ok=True)
    # Locked, so that no other process takes the new folder for a dead one's before it is held.
    with hold_lock(root / SWEEP_LOCK, "the model store", time.monotonic() + SWEEP_TIMEOUT_S):
        sweep(root)
        scratch = Path(tempfile.mkdtemp(dir=home, prefix=PREFIX))
        descriptor = os.open(scratch, os.O_RDONLY)
        try_lock(descriptor)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(descriptor)


def sweep(root: Path) -> None:
    """Removes what dead imports left in the store `root`, and what pulls left a week ago."""
    for folder in (root / PARTIAL_FOLDER).iterdir():
        with suppress(OSError):  # gone meanwhile, or not ours to remove
            if _is_dead(folder, root):
                shutil.rmtree(folder)
                log.info("stale folder removed", folder=str(folder))


def _is_dead(folder: Path, root: Path) -> bool:
    """True when nobody works in the folder, nor is expected to."""
    if folder.name.startswith(PREFIX):
        return not _is_locked(folder)
    latest = max(entry.lstat().st_mtime for entry in (folder, *folder.rglob("*")))
    lock = root / LOCK_FOLDER / f"{folder.name.partition('@')[0]}.lock"
    return time.time() - latest > MAX_AGE_S and not (lock.exists() and _is_locked(lock))


def _is_locked(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        if not try_lock(descriptor):
            return True
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        return False
    finally:
        os.close(descriptor)
