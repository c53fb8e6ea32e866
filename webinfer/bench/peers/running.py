"""Programs of peers as processes: started, asked, their memory measured, ended."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from browser_runtime.contract.errors import InferenceError, SetupError
from browser_runtime.contract.vocabulary import Browser
from webinfer.bench.peers.peer import GRID, IN_NODE, PROGRAMS, STACK, Peer, require, start_arguments
from webinfer.stack.commands import free_port
from webinfer.stack.stack import Stack

Job = tuple[str, str]
"""Kind (text, image or sound), and the text or the path."""

GRID_TIMEOUT_S = 60.0
END_TIMEOUT_S = 30.0
# Inputs come again: every one is to be computed.
SETTINGS = {"WEBINFER_SHARED_RESULTS_MB": "0", "WEBINFER_SIMULATION": "never"}


class PeerFailed(InferenceError):
    """{0}: {1}"""


@dataclass(frozen=True, slots=True)
class Answers:
    """What one list of jobs came to."""

    seconds: float
    times_ms: Sequence[float]
    answers: Sequence[Any]


class PeerProcess:
    """A running program."""

    def __init__(self, name: str, process: subprocess.Popen[str], servers: Sequence[int]) -> None:
        self.name = name
        self._process, self._servers = process, servers

    def ask(self, jobs: Sequence[Job], at_once: int) -> Answers:
        """Everything that the jobs came to. Raises PeerFailed."""
        return Answers(**self.exchange({"jobs": jobs, "at_once": at_once}))

    def exchange(self, message: Mapping[str, Any]) -> Any:
        """One line in, one line out. Raises PeerFailed with the program's last words."""
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(OSError):
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise PeerFailed(self.name, self._last_words())
        return json.loads(line)

    def _last_words(self) -> str:
        self._process.wait(END_TIMEOUT_S)
        assert self._process.stderr is not None
        self._process.stderr.seek(0)
        lines = [line for line in self._process.stderr.read().splitlines() if line.strip()]
        return lines[-1] if lines else f"it ended with {self._process.returncode}"

    def memory_mb(self) -> float:
        """Proportional memory (PSS) of the program, its browsers and its servers, with all their children."""
        found: dict[int, psutil.Process] = {}
        for pid in (self._process.pid, *self._servers):
            parent = psutil.Process(pid)
            found |= {each.pid: each for each in (parent, *parent.children(recursive=True))}
        return sum(_pss_bytes(pid) for pid in found) / 1e6


def _pss_bytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return 0


@contextmanager
def run_peer(peer: Peer, cache: Path, tell: Callable[[str], None]) -> Iterator[PeerProcess]:
    """The peer, started and ready. Raises SetupError for what cannot be had, PeerFailed."""
    needed = require(peer, cache, tell)
    tell(f"starting {peer.name}")
    arguments, environment = dict(start_arguments()), os.environ | SETTINGS
    with ExitStack() as ended:
        servers: list[int] = []
        if peer.needs == GRID:
            assert needed is not None
            arguments["grid"], pid = ended.enter_context(_grid(needed))
            servers.append(pid)
        if peer.needs == STACK:
            stack = ended.enter_context(Stack([Browser.CHROME], settings=SETTINGS))
            environment["WEBINFER_BROKER_URL"] = stack.broker_url
            servers += [part.pid for part in stack.parts]
        command = [sys.executable, "host.py", peer.program]
        folder = PROGRAMS
        if peer.needs == IN_NODE:
            assert needed is not None
            folder = _beside(needed)
            command = ["node", "host.mjs", peer.program]
        errors = ended.enter_context(tempfile.TemporaryFile("w+"))
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        process.stderr = errors
        ended.callback(_end, process)
        running = PeerProcess(peer.name, process, servers)
        running.exchange(arguments)
        yield running


def _beside(node_modules: Path) -> Path:
    """The programs for Node copied to where it finds their packages."""
    for path in PROGRAMS.glob("*.mjs"):
        shutil.copy(path, node_modules.parent)
    return node_modules.parent


def _end(process: subprocess.Popen[str]) -> None:
    """Ends a program by the end of its input, and by force where that does not do."""
    children = []
    with contextlib.suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
    assert process.stdin is not None and process.stdout is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    psutil.wait_procs(children, timeout=END_TIMEOUT_S)


@contextmanager
def _grid(jar: Path) -> Iterator[tuple[str, int]]:
    """A grid with one node of two Chromium sessions: its address and process."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    driver = shutil.which("chromedriver")
    if driver is None:
        raise SetupError("chromedriver", "install chromium-driver")
    words = ["java", f"-Dwebdriver.chrome.driver={driver}", "-jar", str(jar), "standalone"]
    words += ["--host", "127.0.0.1", "--port", str(port), "--max-sessions", "2"]
    words += ["--override-max-sessions", "true"]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.PIPE, text=True)
        try:
            _await_grid(address, process, log)
            yield address, process.pid
        finally:
            process.terminate()
            process.communicate(timeout=END_TIMEOUT_S)


def _await_grid(address: str, process: subprocess.Popen[str], log: Any) -> None:
    end = time.monotonic() + GRID_TIMEOUT_S
    while time.monotonic() < end and process.poll() is None:
        if _is_ready(address):
            return
        time.sleep(0.2)
    log.seek(0)
    lines = log.read().splitlines()
    raise SetupError("Selenium Grid", f"it did not become ready: {lines[-1] if lines else 'no word of it'}")


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/status", timeout=5) as told:  # noqa: S310 - loopback
            return bool(json.load(told)["value"]["ready"])
    except (urllib.error.URLError, OSError, ValueError):
        return False
