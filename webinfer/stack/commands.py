"""The local stack's processes: commands, environment, and the log line that shows they are ready."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from browser_runtime.contract.errors import SetupError
from browser_runtime.contract.setup.extras import require
from browser_runtime.contract.setup.remedies import install_packages
from browser_runtime.contract.vocabulary import Browser
from tasks.app import ANALYTICS_QUEUE, WATCH_QUEUE
from tasks.broker.redis_urls import socket_url
from tasks.routing.router import QUEUE_OF
from webinfer.stack.processes import ManagedProcess

LEAN = "webinfer.stack.celery_command"
WORKER_READY = r"@\S+ ready\."
# Canaries, decisions and alerts mostly wait for answers.
WATCH_THREADS = 4
# Bytes of a unix socket's path (sun_path, less its end).
LONGEST_SOCKET = 107


@dataclass(frozen=True, slots=True)
class Commands:
    """Makes the processes of one stack, with logs and data in `folder`."""

    folder: Path
    broker_url: str
    settings: Mapping[str, str]

    def _celery(self, name: str, words: list[str], ready: str, module: str = LEAN) -> ManagedProcess:
        argv = [sys.executable, "-m", module, *words]
        env = os.environ | {"WEBINFER_BROKER_URL": self.broker_url} | dict(self.settings)
        return ManagedProcess(name, argv, env, self.folder / f"{name.replace(' ', '-')}.log", ready)

    def worker(self, browser: Browser, n_sessions: int, number: int = 1) -> ManagedProcess:
        """The worker of a browser's queue; further ones of that queue are numbered."""
        node = node_name(browser, number)
        words = ["-A", "webinfer", "worker", "-Q", QUEUE_OF[browser], "-n", node, "--loglevel", "INFO"]
        words += ["--without-mingle", "--without-gossip", "-E"]
        words += ["--browser", str(browser), "--sessions", str(n_sessions)]
        suffix = "" if number == 1 else f" {number}"
        return self._celery(f"worker {QUEUE_OF[browser]}{suffix}", words, WORKER_READY)

    def analytics(self) -> ManagedProcess:
        """The worker that owns the history."""
        words = ["-A", "webinfer", "worker", "-Q", ANALYTICS_QUEUE, "-n", "analytics@%h", "-P", "solo"]
        words += ["-c", "1", "--loglevel", "INFO", "--without-mingle", "--without-gossip"]
        return self._celery("analytics", words, WORKER_READY)

    def watch(self) -> ManagedProcess:
        """The worker that runs checks and decisions."""
        words = ["-A", "webinfer", "worker", "-Q", WATCH_QUEUE, "-n", "watch@%h", "-P", "threads"]
        words += ["-c", str(WATCH_THREADS), "--loglevel", "INFO", "--without-mingle", "--without-gossip"]
        return self._celery("watch", words, WORKER_READY)

    def beat(self) -> ManagedProcess:
        """Beat, which sends the tasks of the timetable."""
        return self._celery("beat", ["-A", "webinfer", "beat", "--loglevel", "INFO"], "beat: Starting")

    def monitor(self, port: int) -> ManagedProcess:
        """Flower, with the added pages if they are installed."""
        words = ["-A", "webinfer", monitor_command(), "--address=127.0.0.1", f"--port={port}"]
        return self._celery("monitor", words, "Visit me at", "celery")


def redis_process(folder: Path) -> tuple[ManagedProcess, str]:
    """A private Redis in `folder`, and its URL. Raises SetupError if it cannot be started."""
    binary = shutil.which("redis-server")
    if binary is None:
        raise SetupError("redis-server", f"install it with: {install_packages('redis')}")
    path = folder / "redis.sock"
    over = len(os.fsencode(path)) - LONGEST_SOCKET
    if over > 0:
        remedy = f"set TMPDIR to one at least {over} bytes shorter"
        raise SetupError("a temporary directory with a short path for Redis's socket", remedy)
    argv = [binary, "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"]
    # Every write is logged, and nothing is evicted.
    argv += ["--dir", str(folder), "--save", "", "--appendonly", "yes"]
    argv += ["--maxmemory-policy", "noeviction"]
    process = ManagedProcess(
        "redis", argv, os.environ, folder / "redis.log", "(?i)ready to accept connections"
    )
    return process, socket_url(path)


def node_name(browser: Browser, number: int = 1) -> str:
    """The Celery name of a browser's worker on this machine."""
    return f"{browser}{'' if number == 1 else f'-{number}'}@{socket.gethostname()}"


def monitor_command() -> str:
    """The celery command that runs the monitor. Raises MissingExtra if Flower is not installed."""
    require("monitor")
    added = {point.name for point in importlib.metadata.entry_points(group="celery.commands")}
    return "webinfer-flower" if "webinfer-flower" in added else "flower"


def free_port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
