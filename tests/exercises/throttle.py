"""Makes one browser slow from outside, as a bad update would: its pages stop again and again."""

from __future__ import annotations

import contextlib
import signal
import threading

import psutil

from tests.processes import with_word


class Throttle:
    """A thread that halts the renderers below a process for a share of the time."""

    def __init__(self, pid: int, share: float = 0.6, period_s: float = 0.02) -> None:
        self._pid, self._share, self._period_s = pid, share, period_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="throttle", daemon=True)

    def start(self) -> None:
        """Slow it down from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Let it run as before."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        renderers: list[psutil.Process] = []
        n_periods = 0
        while not self._stopped.is_set():
            if n_periods % 250 == 0:  # sessions come and go
                renderers = find_renderers(self._pid)
            n_periods += 1
            _signal(renderers, signal.SIGSTOP)
            self._stopped.wait(self._period_s * self._share)
            _signal(renderers, signal.SIGCONT)
            self._stopped.wait(self._period_s * (1 - self._share))


def find_renderers(pid: int) -> list[psutil.Process]:
    """Chromium's page processes below `pid`."""
    try:
        return with_word(psutil.Process(pid).children(recursive=True), "--type=renderer")
    except psutil.NoSuchProcess:
        return []


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)
