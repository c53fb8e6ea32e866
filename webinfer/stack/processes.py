"""Processes of the local stack: started, watched for their ready line, and ended."""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from logging.handlers import RotatingFileHandler
from pathlib import Path

from browser_runtime.contract.errors import NotReady
from browser_runtime.contract.setup.environment import xdg_folder

# Celery's warm shutdown waits for running tasks; browsers end within a few seconds after it.
STOP_TIMEOUT_S = 30.0
# The size of one log file; the one before is kept too. A worker writes two lines per request.
LOG_BYTES = 20_000_000
# The output of an ended process is read by then.
READ_TIMEOUT_S = 2.0
POLL_S = 0.2


class ManagedProcess:
    """One process of the stack. Its output goes to `log`; a line matching `ready` means that it is ready."""

    def __init__(self, name: str, argv: list[str], env: Mapping[str, str], log: Path, ready: str) -> None:
        self.name = name
        self.on_end: Callable[[ManagedProcess], None] | None = None
        """Called by a thread of its own when the process has ended."""
        self._argv, self._env, self._log_path = argv, dict(env), log
        self._ready_line = re.compile(ready)
        self._changed = threading.Condition()
        self._ready = self._closed = self._asked = False
        self._tail: collections.deque[str] = collections.deque(maxlen=20)
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def start(self) -> None:
        """Start the process in its own process session; it ends with this process, even if that is killed."""
        self._ready = self._closed = self._asked = False
        process = self._process = subprocess.Popen(
            [*_dies_with_us(), *self._argv],
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = self._start_thread("log of", self._read, process)
        self._start_thread("end of", self._await_end, process, self._reader)

    def _start_thread(self, what: str, work: Callable[..., None], *args: object) -> threading.Thread:
        thread = threading.Thread(target=work, args=args, name=f"{what} {self.name}", daemon=True)
        thread.start()
        return thread

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        log = RotatingFileHandler(self._log_path, maxBytes=LOG_BYTES, backupCount=1, errors="replace")
        with contextlib.closing(log), process.stdout:
            for line in process.stdout:
                log.handle(logging.makeLogRecord({"msg": line.rstrip()}))
                self._tail.append(line.rstrip())
                if not self._ready and process.poll() is None and self._ready_line.search(line):
                    self._set_ready()

    def _await_end(self, process: subprocess.Popen[str], reader: threading.Thread) -> None:
        """Tell of the end of the process; its children may hold its output open as long as they live."""
        process.wait()
        reader.join(READ_TIMEOUT_S)
        with self._changed:
            self._ready, self._closed = False, True
            self._changed.notify_all()
        if self.on_end is not None:
            self.on_end(self)

    def _set_ready(self) -> None:
        with self._changed:
            self._ready = True
            self._changed.notify_all()

    @property
    def running(self) -> bool:
        """True while the process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id; 0 before the start."""
        return self._process.pid if self._process else 0

    def wait_ready(self, timeout_s: float) -> None:
        """Return when it is ready. Raises NotReady with its last lines if it ended or took too long."""
        if self._await_change(timeout_s):
            return
        why = (
            "did not get ready"
            if self.running
            else f"ended with code {self._process and self._process.poll()}"
        )
        last = "\n  ".join(self._tail)
        raise NotReady(f"{self.name} {why}", f"{self._keep_log()}:\n  {last}")

    def _await_change(self, timeout_s: float) -> bool:
        """Wait until it is ready, has ended, or the time is over; True if it is ready."""
        assert self._process is not None
        deadline = time.monotonic() + timeout_s
        with self._changed:
            # Polled: a process whose children outlive it ends without closing its output.
            while not self._ready and not self._closed and self.running and time.monotonic() < deadline:
                self._changed.wait(POLL_S)
            if self._ready:
                return True
        if self._closed:  # before it can be asked how it ended
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(READ_TIMEOUT_S)
        return False

    def _keep_log(self) -> str:
        """Copy the log of a failed start out of the stack's folder, which is removed; says where it is."""
        if self._reader is not None and not self.running:
            self._reader.join(timeout=READ_TIMEOUT_S)
        kept = xdg_folder("XDG_STATE_HOME", ".local/state") / "logs" / self._log_path.name
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._log_path, kept)
        except OSError:
            return "its last lines"
        return f"its log is {kept}"

    def ask_to_stop(self) -> None:
        """Send SIGTERM, once, and return: it finishes its work and ends. A second one would hurry Celery."""
        if self._process is not None and self.running and not self._asked:
            self._asked = True
            self._process.send_signal(signal.SIGTERM)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Ask it to end, wait, then kill its whole process session."""
        if self._process is None:
            return
        self.ask_to_stop()
        if self.running:
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        if self._reader is not None and not self._closed:
            self._reader.join(timeout=READ_TIMEOUT_S)


def _dies_with_us() -> list[str]:
    """The command prefix that ends a child with this process, even if this process is killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []
