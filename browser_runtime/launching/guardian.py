"""A small process that outlives its worker just long enough to end the worker's browsers.

Started as a script with nothing but the standard library. It reads lines of JSON from standard input, each
`[FOLDER, LEADER]` (watch that session) or `[FOLDER, null]` (it is gone): ASCII whatever the folder is called.
End of input means that the worker is dead, however it died, and every session still watched is killed and its
folder removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
from pathlib import Path

MARK = "WEBINFER_SESSION"


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
        end(folder, leader)


def end(folder: str, leader: int) -> None:
    """Kill the session's processes until none is left, then remove its folder."""
    for _ in range(50):
        pids = [pid for pid in all_pids() if belongs(pid, folder, leader)]
        if not pids:
            break
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def all_pids() -> list[int]:
    """Every process there is."""
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def belongs(pid: int, folder: str, leader: int | None) -> bool:
    """Whether it is one of the session's and lives. Zombies do not count: init reaps them in its own time."""
    with contextlib.suppress(OSError):
        if is_zombie(pid):
            return False
        if leader is not None and os.getsid(pid) == leader:
            return True
        mark = os.fsencode(f"{MARK}={folder}")
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return False


def is_zombie(pid: int) -> bool:
    """Whether it has ended and nobody has asked how. Raises OSError where it is gone."""
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"


if __name__ == "__main__":
    main()
