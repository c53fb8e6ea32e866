"""Find and end the processes of a browser session: the only place that decides which they are.

Every process of a session carries the variable WEBINFER_SESSION, the session's folder, in its environment,
and shares the session id (setsid) of its driver. Either is enough to find it; sandboxed renderers hide the
first. What descends from one found so belongs to the session too.

Needs nothing but the standard library and runs as a script, too: the guardian, a small process that outlives
its worker just long enough to end the worker's browsers. It reads lines of JSON from standard input, each
`[FOLDER, LEADER]` (watch that session) or `[FOLDER, null]` (it is gone): ASCII whatever the folder is called.
End of input means that the worker is dead, however it died, and every session still watched is ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

MARK = "WEBINFER_SESSION"
FOLDER_PREFIX = "webinfer-"
# Killing a browser takes milliseconds; on a machine out of memory, seconds.
END_TIMEOUT_S = 10.0


class _Stat(NamedTuple):
    """State, parent and session of one process."""

    state: bytes
    parent: int
    session: int


def find_processes(folder: Path, leader: int | None) -> list[int]:
    """Return the ids of the session's live processes: its folder is `folder`, its driver's id `leader`.

    Zombies do not count: init reaps them in its own time.
    """
    stats = dict(_read_stats())
    mark = os.fsencode(f"{MARK}={folder}")
    found = {pid for pid, stat in stats.items() if stat.session == leader or _is_marked(pid, mark)}
    while children := {pid for pid, stat in stats.items() if stat.parent in found} - found:
        found |= children
    return [pid for pid in found if stats[pid].state != b"Z"]


def _read_stats() -> Iterator[tuple[int, _Stat]]:
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                state, parent, _, session = (path / "stat").read_bytes().rpartition(b")")[2].split()[:4]
                yield int(path.name), _Stat(state, int(parent), int(session))


def _is_marked(pid: int, mark: bytes) -> bool:
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has ended, or is another user's
        return False


def end_session(folder: Path, leader: int | None) -> None:
    """Kill all processes of the session and remove its folder. Never waits on a polite quit."""
    end_processes(folder, leader)
    shutil.rmtree(folder, ignore_errors=True)


def end_processes(folder: Path, leader: int | None) -> None:
    """Kill the session's processes until none is left: one may fork between the look and the kill."""
    deadline = time.monotonic() + END_TIMEOUT_S
    while (pids := find_processes(folder, leader)) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        _await_ends(pids, deadline)


def _await_ends(pids: Iterable[int], deadline: float) -> None:
    """Block until every process has ended, reaped or not, or the deadline passes."""
    for pid in pids:
        with open_handle(pid) as handle:
            if handle is not None:
                poller = select.poll()
                poller.register(handle, select.POLLIN)
                poller.poll(max(deadline - time.monotonic(), 0.0) * 1000)


@contextlib.contextmanager
def open_handle(pid: int) -> Iterator[int | None]:
    """A descriptor that becomes readable when the process ends; None where there is none to be had."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        yield None
        return
    try:
        yield handle
    finally:
        os.close(handle)


def main() -> None:
    """Watch until standard input ends, then end what is left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    watched: dict[str, int] = {}
    for line in sys.stdin:
        folder, leader = json.loads(line)
        if leader is None:
            watched.pop(folder, None)
        else:
            watched[folder] = leader
    for folder, leader in watched.items():
        end_session(Path(folder), leader)


if __name__ == "__main__":
    main()
