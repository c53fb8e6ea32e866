"""The guardian as its worker sees it: started anew where it was killed, and told again what to watch."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
from pathlib import Path

import structlog

from browser_runtime.contract import session_processes
from browser_runtime.launching.processes import await_end

log = structlog.get_logger(__name__)

# Between two starts of a guardian that ends again and again.
RESTART_INTERVAL_S = 1.0


class Guardian:
    """The process that ends this worker's browsers should the worker be killed. For any thread."""

    def __init__(self) -> None:
        self.n_restarts = 0
        self.renewed = asyncio.Event()
        """Set once it was started anew."""
        self._watched: dict[Path, int] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._process = _start()

    @property
    def pid(self) -> int:
        """The process that watches now."""
        return self._process.pid

    def watch(self, folder: Path, leader: int = -1) -> None:
        """End this session should the worker die; `leader` is the driver's pid once it is known."""
        with self._lock:
            self._watched[folder] = leader
            self._send(folder, leader)

    def release(self, folder: Path) -> None:
        """The session has ended."""
        with self._lock:
            self._watched.pop(folder, None)
            self._send(folder, None)

    async def supervise(self) -> None:
        """Start another as soon as the guardian has ended; for ever."""
        while not self._closed:
            await await_end(self.pid)
            try:
                if await asyncio.to_thread(self._renew):
                    self.renewed.set()
            except OSError as error:
                log.error("guardian not restarted", why=str(error))
            await asyncio.sleep(RESTART_INTERVAL_S)

    def _renew(self) -> bool:
        """Replace a guardian that has ended; True where one had. Raises OSError."""
        with self._lock:
            if self._closed or self._process.poll() is None:
                return False
            self._close_pipe()
            self._process = _start()
            self.n_restarts += 1
            log.error("guardian restarted", pid=self.pid, n_sessions=len(self._watched))
            for folder, leader in self._watched.items():
                self._send(folder, leader)
            return True

    def _send(self, folder: Path, leader: int | None) -> None:
        """Tell the process; one that has ended is told by `_renew`."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps([str(folder), leader]) + "\n")
            self._process.stdin.flush()

    def close(self) -> None:
        """End the guardian; it ends what it still watches first."""
        with self._lock:
            self._closed = True
            self._close_pipe()
            self._process.wait(timeout=30)

    def _close_pipe(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # what was not read yet cannot be written any more
            self._process.stdin.close()


def _start() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-S", "-I", session_processes.__file__],
        stdin=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
