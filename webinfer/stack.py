"""The local stack: a private Redis where none is given, and one worker a browser; up and down as one."""

from __future__ import annotations

import os
import queue
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from browser_runtime.errors import SetupError
from browser_runtime.vocabulary import Browser
from tasks.router import QUEUE_OF
from webinfer.parts import Part

REDIS_TIMEOUT_S = 15.0
# A cold disk, three browsers and two processors: measured at under 20 s, with room.
WORKER_TIMEOUT_S = 120.0

# Between the end of a part and its next start: doubled each time, so that a broken one does not spin.
RESTART_DELAYS_S = (1.0, 30.0)

Tell = Callable[[str, str], None]
"""Hears (part, what happened)."""


class Stack:
    """Redis and workers as child processes, in a folder of their own that goes with them."""

    def __init__(
        self,
        browsers: list[Browser],
        *,
        n_sessions: int = 1,
        broker_url: str | None = None,
        tell: Tell = lambda part, state: None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._browsers, self._n_sessions, self._tell = browsers, n_sessions, tell
        self._settings = dict(settings or {})
        self._given_url = broker_url
        self._folder: Path | None = None
        self.parts: list[Part] = []
        self.broker_url = broker_url or ""
        """What producers set WEBINFER_BROKER_URL to."""

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="webinfer-stack-"))
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def folder(self) -> Path:
        """Logs, and the socket and data of a private Redis."""
        assert self._folder is not None, "the stack is not up"
        return self._folder

    def _start(self) -> None:
        if self._given_url is None:
            self._begin(self._redis(), REDIS_TIMEOUT_S)
        workers = [self._worker(browser) for browser in self._browsers]
        for worker in workers:
            self._tell(worker.name, "starting")
            worker.start()
            self.parts.append(worker)
        for worker in workers:
            worker.wait_ready(WORKER_TIMEOUT_S)
            self._tell(worker.name, "ready")

    def _begin(self, part: Part, timeout_s: float) -> None:
        self._tell(part.name, "starting")
        part.start()
        self.parts.append(part)
        part.wait_ready(timeout_s)
        self._tell(part.name, "ready")

    def _redis(self) -> Part:
        binary = shutil.which("redis-server")
        if binary is None:
            raise SetupError("redis-server", "install it with: apt-get install -y redis-server")
        socket = self.folder / "redis.sock"
        self.broker_url = f"redis+socket://{socket}"
        argv = [binary, "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"]
        # Every write reaches the disk's queue, and nothing is ever thrown away to make room.
        argv += ["--dir", str(self.folder), "--save", "", "--appendonly", "yes"]
        argv += ["--maxmemory-policy", "noeviction"]
        return Part("redis", argv, os.environ, self.folder / "redis.log", "(?i)ready to accept connections")

    def _worker(self, browser: Browser) -> Part:
        name = QUEUE_OF[browser]
        argv = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "-Q", name, "-n", f"{browser}@%h"]
        argv += ["--loglevel", "INFO", "--without-mingle", "--without-gossip", "-E"]
        argv += ["--browser", str(browser), "--sessions", str(self._n_sessions)]
        env = os.environ | {"WEBINFER_BROKER_URL": self.broker_url} | self._settings
        return Part(f"worker {name}", argv, env, self.folder / f"{browser}.log", r"@\S+ ready\.")

    def supervise(self) -> None:
        """Until interrupted, start every part that ends again, more slowly each time."""
        ended: queue.SimpleQueue[Part] = queue.SimpleQueue()
        for part in self.parts:
            part.on_end = ended.put
        delays_s = dict.fromkeys((part.name for part in self.parts), RESTART_DELAYS_S[0])
        while True:
            part = ended.get()
            delay_s = delays_s[part.name]
            self._tell(part.name, f"ended; starting again in {delay_s:.0f} s")
            time.sleep(delay_s)
            delays_s[part.name] = min(delay_s * 2, RESTART_DELAYS_S[1])
            part.stop(timeout_s=1)
            part.start()
            self._tell(part.name, "started again")

    def close(self) -> None:
        """Stop all workers together, Redis last, and remove the folder."""
        for part in self.parts:
            part.on_end = None
        for part in self.parts[1:] if self._given_url is None else self.parts:
            self._tell(part.name, "stopping")
            part.ask_to_stop()
        for part in reversed(self.parts):
            part.stop()
            self._tell(part.name, "stopped")
        self.parts.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
