"""A whole `webinfer up` at a Redis with a password: nobody else on the machine reads it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import redis

from browser_runtime.contract.session_processes import MARK
from tests.exercises.up import ORDERLY, Up
from tests.processes import running
from webinfer.stack.commands import free_port

PASSWORD = "hunter2-of-redis"


@pytest.fixture
def guarded_redis(tmp_path: Path) -> Iterator[str]:
    """The URL of a Redis that asks for the password; it was told it on standard input."""
    port = free_port()
    with running(
        ["redis-server", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=tmp_path, text=True
    ) as server:
        assert server.stdin is not None
        server.stdin.write(f'port {port}\nbind 127.0.0.1\nsave ""\nrequirepass {PASSWORD}\n')
        server.stdin.close()
        client, deadline = redis.Redis(port=port, password=PASSWORD), time.monotonic() + 30
        while time.monotonic() < deadline:
            with suppress(redis.ConnectionError):
                if client.ping():
                    break
            time.sleep(0.05)
        client.close()
        yield f"redis://:{PASSWORD}@127.0.0.1:{port}/0"


def read(process: psutil.Process, name: str) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{process.pid}/{name}").read_bytes()
    return b""


@pytest.mark.browser("edge")
def test_no_process_shows_the_password_and_no_browser_knows_it(guarded_redis: str, tmp_path: Path) -> None:
    up = Up(tmp_path, "--browser", "edge", "--broker", guarded_redis, WEBINFER_SIMULATION="never")
    try:
        processes = [psutil.Process(up.pid), *psutil.Process(up.pid).children(recursive=True)]
        assert len(processes) >= 8, "worker, browser, analytics, watch, beat, monitor"
        assert not [process for process in processes if PASSWORD.encode() in read(process, "cmdline")]
        assert not [line for line in up.lines if PASSWORD in line]
        browsers = [process for process in processes if MARK.encode() in read(process, "environ")]
        assert len(browsers) >= 2, "driver and browser"
        for process in browsers:
            told = read(process, "environ")
            assert PASSWORD.encode() not in told
            assert b"WEBINFER_BROKER_URL" not in told
    finally:
        assert up.stop() in ORDERLY
