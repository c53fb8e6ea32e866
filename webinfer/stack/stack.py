"""The local stack: Redis (unless one is given), a worker per browser, the scheduler and the monitor."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from browser_runtime.contract.vocabulary import Browser
from tasks.routing.router import QUEUE_OF
from tasks.settings import TaskSettings
from webinfer.stack.commands import Commands, free_port, redis_process
from webinfer.stack.processes import ManagedProcess
from webinfer.stack.supervision import Supervisor, Tell
from webinfer.stack.workforce import DesiredWorkersSubscriber, Workforce

REDIS_TIMEOUT_S = 15.0
# With a cold disk, three browsers and two processors it took under 20 s.
WORKER_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class StackOptions:
    """The processes besides Redis and the browsers' workers."""

    scheduler: bool = False
    """Analytics, watch and beat."""
    monitor_port: int | None = None
    """The port of Flower; 0 takes a free one, None leaves Flower out."""
    most_workers: int | None = None
    """The most workers of a queue, with autoscaling; None for always one."""

    def settings(self, browsers: list[Browser]) -> dict[str, str]:
        """Environment variables of the scheduler's processes."""
        if self.most_workers is None:
            return {}
        bounds = ",".join(f"{QUEUE_OF[browser]}=1:{self.most_workers}" for browser in browsers)
        return {"WEBINFER_AUTOSCALING": "on", "WEBINFER_AUTOSCALE_QUEUES": bounds}


class Stack:
    """The stack as child processes, with a folder of its own that is removed at the end."""

    def __init__(
        self,
        browsers: list[Browser],
        *,
        n_sessions: int = 1,
        broker_url: str | None = None,
        tell: Tell = lambda part, state: None,
        settings: Mapping[str, str] | None = None,
        options: StackOptions | None = None,
    ) -> None:
        self._browsers, self._n_sessions, self._tell = browsers, n_sessions, tell
        self._options = options or StackOptions()
        self._settings = self._options.settings(browsers) | dict(settings or {})
        self._given_url = broker_url
        self._folder: Path | None = None
        self._redis: ManagedProcess | None = None
        self._workers: dict[Browser, ManagedProcess] = {}
        self.parts: list[ManagedProcess] = []
        self.broker_url = broker_url or ""
        """The value of WEBINFER_BROKER_URL for producers."""
        self.monitor_url = ""
        """The address of Flower; empty without it."""

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

    @property
    def _commands(self) -> Commands:
        return Commands(self.folder, self.broker_url, self._settings)

    def _start(self) -> None:
        if self._given_url is None:
            self._redis, self.broker_url = redis_process(self.folder)
            self._start_processes([self._redis], REDIS_TIMEOUT_S)
        self._workers = {
            browser: self._commands.worker(browser, self._n_sessions) for browser in self._browsers
        }
        watchers = [self._commands.analytics(), self._commands.watch()] if self._options.scheduler else []
        self._start_processes([*self._workers.values(), *watchers], WORKER_TIMEOUT_S)
        self._start_processes(self._followers(), WORKER_TIMEOUT_S)

    def _followers(self) -> list[ManagedProcess]:
        """The processes that start after all others."""
        parts = [self._commands.beat()] if self._options.scheduler else []
        if self._options.monitor_port is not None:
            port = self._options.monitor_port or free_port()
            self.monitor_url = f"http://127.0.0.1:{port}"
            parts.append(self._commands.monitor(port))
        return parts

    def _start_processes(self, parts: list[ManagedProcess], timeout_s: float) -> None:
        for part in parts:
            self._tell(part.name, "starting")
            part.start()
            self.parts.append(part)
        for part in parts:
            part.wait_ready(timeout_s)
            self._tell(part.name, "ready")

    def supervise(self) -> None:
        """Restart processes that end, until interrupted; with autoscaling, carry out its decisions."""
        supervisor = Supervisor(self.parts, self._tell)
        with self._follow_decisions(supervisor) if self._options.most_workers else nullcontext():
            supervisor.run()

    def _follow_decisions(self, supervisor: Supervisor) -> DesiredWorkersSubscriber:
        def make(browser: Browser, number: int) -> ManagedProcess:
            return self._commands.worker(browser, self._n_sessions, number)

        workforce = Workforce(supervisor, self._workers, make, self._tell)
        settings = TaskSettings(broker_url=self.broker_url)
        return DesiredWorkersSubscriber(settings.results, settings.redis_prefix, supervisor, workforce)

    def close(self) -> None:
        """Stop everything together, Redis last, and remove the folder."""
        for part in self.parts:
            part.on_end = None
        for part in self.parts:
            if part is not self._redis:
                self._tell(part.name, "stopping")
                part.ask_to_stop()
        for part in reversed(self.parts):
            part.stop()
            self._tell(part.name, "stopped")
        self.parts.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
