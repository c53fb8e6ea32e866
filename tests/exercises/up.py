"""`webinfer up` as a process of its own, for exercises that watch it from outside."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil

from tests.processes import command_line

# How `up` ends after Ctrl-C.
ORDERLY = (0, 130)


class Up:
    """`webinfer up` as a process, with everything of its own in one folder."""

    def __init__(self, folder: Path, *options: str, **settings: str) -> None:
        self.lines: list[str] = []
        self.env = (
            os.environ
            | settings
            | {
                "WEBINFER_HISTORY_PATH": str(folder / "history.duckdb"),
                "WEBINFER_REPORTS_DIR": str(folder / "reports"),
                "XDG_STATE_HOME": str(folder / "state"),
                "COLUMNS": "200",
            }
        )
        self._process = subprocess.Popen(
            [sys.executable, "-m", "webinfer", "up", "--monitor-port", "0", *options],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._ready.wait(240), "\n".join(self.lines)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self.lines.append(re.sub(r"\x1b\[[0-9;]*m", "", line.rstrip()))
                if line.startswith("stop:"):
                    self._ready.set()

    @property
    def pid(self) -> int:
        """The process of `up`, whose children the parts are."""
        return self._process.pid

    @property
    def broker_url(self) -> str:
        """The broker, as `up` tells it."""
        return self.find(r"WEBINFER_BROKER_URL=(\S+)")

    def find(self, pattern: str) -> str:
        found = re.search(pattern, "\n".join(self.lines))
        assert found, f"{pattern} is not in:\n" + "\n".join(self.lines)
        return found[1]

    def worker_pids(self, browser: str) -> list[int]:
        """The workers of a browser."""
        found = psutil.Process(self._process.pid).children()
        return [process.pid for process in found if _is_worker(process, browser)]

    def worker_pid(self, browser: str) -> int:
        """The first worker of a browser."""
        found = self.worker_pids(browser)
        assert found, f"no worker of {browser}"
        return found[0]

    def stop(self) -> int:
        self._process.send_signal(signal.SIGINT)
        code = self._process.wait(60)
        self._reader.join()
        return code


def _is_worker(process: psutil.Process, browser: str) -> bool:
    words = command_line(process)  # Celery writes its title over its arguments
    return "-A webinfer worker" in words and f"--browser {browser}" in words
