"""Removes what is left behind: keys without an expiry, browsers whose worker and guardian are dead."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import psutil
import redis

from browser_runtime.contract.session_processes import FOLDER_PREFIX, MARK, end_processes
from tasks.keys import RESULTS, RedisKeys
from tasks.settings import TaskSettings

# A session that is just starting or ending is no orphan.
LEAST_AGE_S = 60.0
SCAN_COUNT = 1000
INIT_PID = 1


@dataclass(frozen=True, slots=True)
class Process:
    """One process of this machine."""

    pid: int
    parent: int
    age_s: float
    folder: str = ""
    """The folder of its browser session; empty if it belongs to none."""


def find_orphans(processes: Iterable[Process], init_owns: bool = False) -> dict[str, list[int]]:
    """The process ids, by session folder, of each session without a living owner. Pure.

    A session is owned while any of its processes descends from one that is outside it and is not init.
    `init_owns`: in a container, process 1 is the worker itself.
    """
    known = {process.pid: process for process in processes}
    sessions: dict[str, list[Process]] = {}
    for process in known.values():
        if process.folder:
            sessions.setdefault(process.folder, []).append(process)
    return {
        folder: [process.pid for process in members]
        for folder, members in sessions.items()
        if min(process.age_s for process in members) >= LEAST_AGE_S
        and not any(_is_owned(process, known, init_owns) for process in members)
    }


def _is_owned(process: Process, known: dict[int, Process], init_owns: bool) -> bool:
    parent = known.get(process.parent)
    while parent is not None and parent.folder == process.folder:
        parent = known.get(parent.parent)
    return parent is not None and (parent.pid != INIT_PID or init_owns)


def list_processes() -> Iterator[Process]:
    """All processes of this user."""
    now = time.time()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            folder = process.environ().get(MARK, "")
            yield Process(process.pid, process.ppid(), now - process.create_time(), folder)


def end_orphans() -> list[str]:
    """Kill orphaned browsers and remove their folders; returns the folders."""
    orphans = find_orphans(list_processes(), init_owns=_is_python(INIT_PID))
    for folder in orphans:
        end_session(Path(folder))
    return sorted(orphans)


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


def end_keys(client: redis.Redis, settings: TaskSettings) -> int:
    """Set an expiry on results, claims and delivery counts that have none; returns their number."""
    keys = RedisKeys(settings.redis_prefix)
    lives = {
        RESULTS: settings.result_ttl_s,
        keys.claim("*"): settings.claim_ttl_s,
        keys.deliveries("*"): settings.result_ttl_s,
    }
    return sum(_end_matching(client, pattern, ttl_s) for pattern, ttl_s in lives.items())


def _end_matching(client: redis.Redis, pattern: str, ttl_s: int) -> int:
    keys, n = client.scan_iter(match=pattern, count=SCAN_COUNT), 0
    while batch := list(islice(keys, SCAN_COUNT)):
        pipeline = client.pipeline(transaction=False)
        for key in batch:
            pipeline.expire(key, ttl_s, nx=True)  # only if it has none
        n += sum(map(bool, pipeline.execute()))
    return n
