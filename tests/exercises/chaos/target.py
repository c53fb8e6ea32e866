"""What faults are done to: a running `webinfer up`, its processes, and what it lacks."""

from __future__ import annotations

import contextlib
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import redis
from celery.result import AsyncResult
from kombu.exceptions import OperationalError

from browser_runtime.contract.errors import GivenUp, ModelFault, PageSilent
from browser_runtime.contract.session_processes import MARK
from tasks.broker.redis_clients import connect
from tasks.keys import RedisKeys
from tests.exercises.up import Up
from tests.processes import is_alive, with_word

KEYS = RedisKeys("webinfer:")
# Parts besides the workers, by a word of their command lines.
PARTS = {
    "redis": "redis-server",
    "analytics": "analytics@",
    "watch": "watch@",
    "beat": "webinfer beat",
    "monitor": "webinfer-flower",
}
# Rows go into the history every two seconds, where nothing else has the analytics worker.
ROWS_WAIT_S = 15.0
HTTP_TIMEOUT_S = 5.0
# How a request that computes for ever ends: tried, refused after that, or found when its worker was killed.
GUILTY_ENDS = (PageSilent, ModelFault, GivenUp)


@dataclass(slots=True)
class Guilty:
    """Requests that compute for ever: those under way, and how the others ended."""

    under_way: list[AsyncResult[Any]] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    flaws: list[str] = field(default_factory=list)
    """Ends that none of them may have."""

    def look(self) -> None:
        """Note those that have ended."""
        for each in list(self.under_way):
            with contextlib.suppress(redis.RedisError, OperationalError):
                if each.ready():
                    self._end(each)
                    self.under_way.remove(each)

    def _end(self, result: AsyncResult[Any]) -> None:
        self.ends[type(result.result).__name__] += 1
        if not isinstance(result.result, GUILTY_ENDS):
            self.flaws.append(f"a request that computes for ever ended with {result.result!r}")


@dataclass(frozen=True, slots=True)
class Target:
    """A stack whose temporary files are in `folder/tmp`, its workers' clocks in `folder/clocks`."""

    up: Up
    folder: Path
    browsers: tuple[str, ...]
    parts: tuple[str, ...] = tuple(PARTS)
    guilty: Guilty = field(default_factory=Guilty)

    @property
    def redis(self) -> redis.Redis:
        """A connection to the broker."""
        return connect(self.up.broker_url)

    def folders(self, browser: str) -> list[Path]:
        """The folders of a browser's sessions."""
        return sorted((self.folder / "tmp").glob(f"webinfer-{browser}-*"))

    def session(self, browser: str) -> Path:
        """The folder of a running session. Raises LookupError."""
        return self.folders(browser)[0]

    def worker(self, browser: str) -> psutil.Process:
        """A worker of a browser. Raises LookupError, psutil.Error."""
        return psutil.Process(self.up.worker_pids(browser)[0])

    def guardians(self, browser: str) -> list[psutil.Process]:
        """The living guardians of a browser's worker. Raises LookupError, psutil.Error."""
        return with_word(self.worker(browser).children(), "session_processes")

    def processes(self, browser: str) -> list[psutil.Process]:
        """All processes of a browser's session, its driver first. Raises LookupError where none runs."""
        found = [
            child
            for child in self.worker(browser).children(recursive=True)
            if is_alive(child) and ("driver" in child.name() or _is_marked(child))
        ]
        if not found:
            raise LookupError(f"no session of {browser}")
        return sorted(found, key=lambda process: "driver" not in process.name())

    def browser_processes(self, browser: str, *words: str) -> list[psutil.Process]:
        """Those without the driver whose command line holds one of `words`. Raises LookupError."""
        found = self.processes(browser)[0].children(recursive=True)
        if words:
            found = with_word(found, *words)
        if not found:
            raise LookupError(f"no process of {browser} with {words}")
        return found

    def part(self, name: str) -> psutil.Process:
        """A part of the stack. Raises LookupError."""
        for process in with_word(psutil.Process(self.up.pid).children(), PARTS[name]):
            return process
        raise LookupError(f"no {name}")

    def lacks(self) -> list[str]:
        """What is not there, not watched or not at work; empty where all is well."""
        found = []
        for name in self.parts:
            with contextlib.suppress(LookupError):
                self.part(name)
                continue
            found.append(f"no {name}")
        for browser in self.browsers:
            try:
                found += self._lacks_of(browser)
            except (LookupError, psutil.Error) as error:
                found.append(f"{browser}: {error!r}")
        self.guilty.look()
        found += [f"{each.id} computes for ever" for each in self.guilty.under_way]
        if "analytics" in self.parts:
            found += self._lacks_of_history()
        if "monitor" in self.parts:
            found += self._lacks_of_monitor()
        return found

    def _lacks_of(self, browser: str) -> list[str]:
        n_guardians, folders = len(self.guardians(browser)), self.folders(browser)
        self.browser_processes(browser)
        found = [] if n_guardians == 1 else [f"{n_guardians} guardians of {browser}"]
        return found if len(folders) == 1 else [*found, f"{len(folders)} folders of {browser}"]

    def _lacks_of_history(self) -> list[str]:
        """Whether rows reach the history, which takes them out of their stream."""
        try:
            with contextlib.closing(self.redis) as client:
                (seconds, _), rows = client.time(), client.xrange(KEYS.telemetry, count=1)
        except redis.RedisError as error:
            return [f"no rows to be seen: {error!r}"]
        wait_s = seconds - int(rows[0][0].split(b"-")[0]) / 1000 if rows else 0.0
        return [f"rows wait for the history for {wait_s:.0f} s"] if wait_s > ROWS_WAIT_S else []

    def _lacks_of_monitor(self) -> list[str]:
        address = self.up.find(r"monitor: +(\S+)")
        try:
            with urllib.request.urlopen(f"{address}/healthcheck", timeout=HTTP_TIMEOUT_S) as answer:
                return [] if answer.status == 200 else [f"monitor: {answer.status}"]
        except OSError as error:
            return [f"monitor: {error}"]


def _is_marked(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return MARK in process.environ()
    return False
