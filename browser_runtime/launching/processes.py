"""A browser session's processes: found whatever they forked, ended without asking, cleaned up after.

Every process of a session carries the variable WEBINFER_SESSION in its environment and shares the
session id (setsid) of its driver. Either is enough to find it; sandboxed renderers hide the first.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from browser_runtime.contract.setup.proxies import without_proxies
from browser_runtime.launching.guardian import MARK, belongs

PREFIX = "webinfer-"


def make_session_folder(session: str) -> Path:
    """A fresh temporary directory for one session: profile, sockets, driver files."""
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{session}-"))


def session_environment(folder: Path) -> dict[str, str]:
    """The environment of a session's driver and browser: all that they write stays in `folder`, no proxy."""
    return without_proxies(os.environ) | {
        MARK: str(folder),
        "TMPDIR": str(folder),
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "MOZ_CRASHREPORTER_DISABLE": "1",
        "MOZ_HEADLESS": "1",
    }


def session_processes(folder: Path, leader: int | None) -> list[psutil.Process]:
    """All live processes of the session whose folder is `folder` and whose driver has pid `leader`."""
    found = [process for process in psutil.process_iter() if belongs(process.pid, str(folder), leader)]
    return found + [child for process in found for child in _children(process) if child not in found]


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def end_session(folder: Path, leader: int | None, timeout_s: float = 5.0) -> None:
    """Kill all processes of the session and remove its folder. Never waits on a polite quit."""
    for _ in range(3):  # a process may fork between the look and the kill
        processes = session_processes(folder, leader)
        if not processes:
            break
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        await_ends([process.pid for process in processes], timeout_s)
    shutil.rmtree(folder, ignore_errors=True)


def await_ends(pids: Iterable[int], timeout_s: float) -> None:
    """Block until every process has ended, reaped or not, or the time is over."""
    deadline = time.monotonic() + timeout_s
    for pid in pids:
        with _handle(pid) as handle:
            if handle is not None:
                _await_readable(handle, max(deadline - time.monotonic(), 0.0))


@contextlib.contextmanager
def _handle(pid: int) -> Iterator[int | None]:
    """A descriptor that becomes readable when the process ends; None where it is gone, or has no such."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        yield None
        return
    try:
        yield handle
    finally:
        os.close(handle)


def _await_readable(handle: int, timeout_s: float) -> None:
    poller = select.poll()
    poller.register(handle, select.POLLIN)
    poller.poll(timeout_s * 1000)


def memory_bytes(folder: Path, leader: int | None) -> int | None:
    """Proportional memory (PSS) of the session's processes; None where the system does not tell."""
    sizes = [_pss(process.pid) for process in session_processes(folder, leader)]
    known = [size for size in sizes if size is not None]
    return sum(known) if known else None


def _pss(pid: int) -> int | None:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    except OSError:
        return None
    return None
