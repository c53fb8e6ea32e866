"""Folders in the cache that are made once and then only read, by any number of processes."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from browser_runtime.contract.setup.environment import make_folder


def make_once(folder: Path, fill: Callable[[Path], None]) -> None:
    """Make `folder` unless it is there: `fill` gets one beside it that is renamed, so nobody sees half of it.

    All may read it afterwards. Raises BadSetting where the cache folder cannot be written.
    """
    make_folder("WEBINFER_CACHE_DIR", folder.parent)
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            fill(staging)
            _open_to_all(staging)
            staging.rename(folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _open_to_all(folder: Path) -> None:
    """Let others, such as the user of root's browsers, read and run all of it; let nobody else own a part."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, os.geteuid(), os.getegid(), follow_symlinks=False)
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (mode & 0o500) >> 3 | (mode & 0o500) >> 6)
