"""One `webinfer up` for every page, as the README starts it, in a folder that looks like the repository's."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from browser_runtime.contract.vocabulary import Browser
from browser_runtime.settings import RuntimeSettings
from tests.cluster.conftest import redis_url
from tests.conftest import require_browser
from tests.documentation.pages import ROOT

__all__ = ["redis_url"]

TIMEOUT_S = 180


class Process:
    """A command that goes on until it is stopped."""

    def __init__(self, line: str, folder: Path, environment: dict[str, str]) -> None:
        self.line, self.output = line, ""
        self._process = subprocess.Popen(
            ["bash", "-c", f"exec {line}" if not re.match(r"\w+=", line) else f"exec env {line}"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._changed = threading.Condition()
        self._ended = False
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self.output += line
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def await_ready(self, words: str) -> None:
        """Return when it has printed `words`, a regular expression; fail when it ended before."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or bool(re.search(words, self.output)), TIMEOUT_S)
            assert re.search(words, self.output), f"{self.line}\n{self.output[-3000:]}"

    def stop(self, sig: signal.Signals = signal.SIGINT) -> None:
        """End it as Ctrl-C does."""
        self._process.send_signal(sig)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:  # how it ends is for other tests
            self._process.kill()
            self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


@dataclass
class Terminal:
    """Where a reader types: the repository's folder, with what is written landing elsewhere."""

    folder: Path
    environment: dict[str, str] = field(repr=False)

    def run(self, line: str, **more: str) -> subprocess.CompletedProcess[str]:
        """What `line` printed and how it ended."""
        return subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self.environment | more,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    @contextmanager
    def started(self, line: str, ready: str, **more: str) -> Iterator[Process]:
        """`line` while it goes on."""
        process = Process(line, self.folder, self.environment | more)
        try:
            process.await_ready(ready)
            yield process
        finally:
            process.stop()


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture(scope="package")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """A terminal after `source .venv/bin/activate`, which has nothing to do with the user's own stack."""
    folder = tmp_path_factory.mktemp("terminal")
    for entry in ROOT.iterdir():
        if not entry.name.startswith(".git"):
            (folder / entry.name).symlink_to(entry)
    # What docs/models.md imports.
    shutil.copytree(
        ROOT / "browser_runtime/models/builtin/digits-vit",
        folder / "my-model",
        ignore=shutil.ignore_patterns("webinfer.json", "examples"),
    )
    hidden = ("WEBINFER_", "XDG_", "CI")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    (folder / "home").mkdir()
    own = {
        "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder / "home"),
        "WEBINFER_CACHE_DIR": str(RuntimeSettings().cache_dir),
    }
    return Terminal(folder, clean | own)


@pytest.fixture(scope="package")
def up(terminal: Terminal) -> Iterator[Process]:
    """The stack of the README, with Flower on a free port."""
    for browser in Browser:
        require_browser(browser)
    with terminal.started("webinfer up --monitor-port 0", "stop:") as process:
        socket_path = re.search(r"redis\+socket://(\S+)", process.output)
        assert socket_path is not None
        client = terminal.folder / "bin/redis-cli"
        client.parent.mkdir()
        client.write_text(f'#!/bin/sh\nexec {shutil.which("redis-cli")} -s {socket_path[1]} "$@"\n')
        client.chmod(0o755)
        yield process
