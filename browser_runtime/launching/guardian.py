"""A small process that outlives its worker just long enough to end the worker's browsers.

Started as a script with nothing but the standard library. It reads lines from standard input, each
`+FOLDER LEADER` (watch that session) or `-FOLDER` (it is gone); end of input means that the worker is
dead, however it died, and every session still watched is killed and its folder removed.
"""

from __future__ import annotations

import contextlib
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
        folder, _, leader = line[1:].strip().partition(" ")
        if line[0] == "+":
            watched[folder] = int(leader)
        else:
            watched.pop(folder, None)
    for folder, leader in watched.items():
        end(folder, leader)


def end(folder: str, leader: int) -> None:
    """Kill the session's processes until none is left, then remove its folder."""
    for _ in range(50):
        pids = [pid for pid in _all_pids() if _belongs(pid, folder, leader)]
        if not pids:
            break
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def _all_pids() -> list[int]:
    return [int(name.name) for name in Path("/proc").iterdir() if name.name.isdigit()]


def _belongs(pid: int, folder: str, leader: int) -> bool:
    with contextlib.suppress(OSError):
        if _is_zombie(pid):
            return False
        if os.getsid(pid) == leader:
            return True
        return f"{MARK}={folder}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return False


def _is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


if __name__ == "__main__":
    main()
