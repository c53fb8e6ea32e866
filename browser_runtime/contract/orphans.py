"""Find and end browser sessions whose worker is dead, where nobody was left to end them.

The guardian ends a dead worker's browsers. One that was killed with its worker does not: the next pool that
opens on the machine, and the clean-up of health checks, find what they left.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from browser_runtime.contract.session_folders import find_left_over
from browser_runtime.contract.session_processes import FOLDER_PREFIX, MARK, end_processes

# Processes are listed one after another: of what begins meanwhile, a child may be seen and its parent not.
LEAST_AGE_S = 2.0
INIT_PID = 1
# A user's own service manager takes in orphans in place of process 1.
SERVICE_MANAGER = "systemd"


@dataclass(frozen=True, slots=True)
class Process:
    """One process of this machine."""

    pid: int
    parent: int
    age_s: float
    folder: str = ""
    """The folder of its browser session; empty if it belongs to none."""
    name: str = ""


def find_orphans(processes: Iterable[Process], init_owns: bool = False) -> dict[str, list[int]]:
    """The process ids, by session folder, of each session without a living owner. Pure.

    A session is owned while any of its processes descends from one that is outside it and takes in no
    orphans. `init_owns`: in a container, process 1 is the worker itself.
    """
    known = {process.pid: process for process in processes}
    sessions: dict[str, list[Process]] = {}
    for process in known.values():
        if process.folder:
            sessions.setdefault(process.folder, []).append(process)
    return {
        folder: [process.pid for process in members]
        for folder, members in sessions.items()
        if max(process.age_s for process in members) >= LEAST_AGE_S
        and not any(_is_owned(process, known, init_owns) for process in members)
    }


def _is_owned(process: Process, known: dict[int, Process], init_owns: bool) -> bool:
    parent = known.get(process.parent)
    while parent is not None and parent.folder == process.folder:
        parent = known.get(parent.parent)
    if parent is None:
        return False
    return init_owns if parent.pid == INIT_PID else parent.name != SERVICE_MANAGER


def list_processes() -> Iterator[Process]:
    """All processes of this machine, with the sessions of those that this user may look into."""
    now = time.time()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess):
            age_s = now - process.create_time()
            yield Process(process.pid, process.ppid(), age_s, _folder(process), process.name())


def _folder(process: psutil.Process) -> str:
    try:
        return str(process.environ().get(MARK, ""))
    except (psutil.AccessDenied, OSError):
        return ""


def end_orphans() -> list[str]:
    """Kill orphaned browsers, remove their folders and those that others left; returns the folders."""
    processes = list(list_processes())
    orphans = find_orphans(processes, init_owns=_is_python(INIT_PID))
    for folder in orphans:
        end_session(Path(folder))
    left_over = list(find_left_over({process.folder for process in processes}))
    for path in left_over:
        shutil.rmtree(path, ignore_errors=True)
    return sorted([*orphans, *map(str, left_over)])


def end_session(folder: Path) -> None:
    """Kill the processes that carry the session's mark, and remove its folder if it is one of ours."""
    end_processes(folder, None)
    if _is_ours(folder):
        shutil.rmtree(folder, ignore_errors=True)


def _is_python(pid: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return "python" in psutil.Process(pid).name()
    return False


def _is_ours(folder: Path) -> bool:
    """True for a temporary folder of ours: the name comes from an environment variable."""
    return folder.name.startswith(FOLDER_PREFIX) and folder.parent == Path(tempfile.gettempdir())
