"""Folders of browser sessions: a worker holds its own; what nobody holds and no process uses is left over.

A session's processes may be ended where its folder is not: by a machine out of memory, a power cut, or a
clean-up whose temporary directory is another one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from browser_runtime.contract.session_processes import FOLDER_PREFIX
from browser_runtime.contract.vocabulary import Browser

# Other folders of webinfer's begin alike.
NAME = re.compile(rf"{FOLDER_PREFIX}(?:{'|'.join(Browser)})-")
# A folder is made before it is held.
LEAST_AGE_S = 2.0


def hold_folder(folder: Path) -> int:
    """A descriptor by which this process holds the folder until it is closed, at the latest at its end."""
    descriptor = _open(folder)
    with contextlib.suppress(OSError):  # a file system without locks; nothing there counts as left over
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return descriptor


def find_left_over(used: Collection[str]) -> Iterator[Path]:
    """Session folders in the temporary directory that no worker holds and that are not among those `used`.

    A worker in another container is not seen in any list of processes, but its hold is.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):  # none where somebody removed it
        if NAME.match(folder.name) and str(folder) not in used and _is_free(folder):
            yield folder


def _is_free(folder: Path) -> bool:
    """Whether nobody holds the folder; False for one that is new, another user's, or that is gone."""
    try:
        if time.time() - folder.lstat().st_mtime < LEAST_AGE_S:
            return False
        descriptor = _open(folder)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _open(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
