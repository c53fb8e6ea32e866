"""What a pool leans on may be killed or removed: it is noticed, made again, and told."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from browser_runtime.contract.errors import Busy
from browser_runtime.contract.messages import Request
from browser_runtime.contract.orphans import LEAST_AGE_S
from browser_runtime.contract.session_processes import MARK
from browser_runtime.contract.vocabulary import Backend, Browser, Family
from browser_runtime.launching.binaries import find_installation
from browser_runtime.launching.processes import await_end
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from tests.processes import is_alive, kill_all

# Starting a browser takes seconds, on a busy machine more.
START_TIMEOUT_S = 90.0


def see() -> Request:
    images = [np.full((28, 28, 3), 255, np.uint8)]
    return Request(Family.VISION, "digits-vit", {"images": images}, backends=(Backend.WASM,))


@asynccontextmanager
async def open_pool(settings: RuntimeSettings, browser: Browser) -> AsyncIterator[Pool]:
    pool = Pool(settings, browser)
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()


async def until(pool: Pool, holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(START_TIMEOUT_S):
        await pool.notifier.until(holds)


def kill_browser(pool: Pool) -> None:
    launched = pool.sessions[0]._launched
    assert launched is not None
    kill_all(psutil.Process(launched.leader).children(recursive=True))


def replaced(pool: Pool) -> Callable[[], bool]:
    """Whether the session that is there now has gone and another has come."""
    (first,) = pool.sessions
    return lambda: len(pool.sessions) == 1 and first not in pool.sessions


@pytest.mark.browser("edge")
async def test_a_killed_guardian_is_replaced_and_so_is_a_browser_that_dies_then(
    settings: RuntimeSettings,
) -> None:
    async with open_pool(settings, Browser.EDGE) as pool:
        guardian, is_replaced = pool._loopback.guardian, replaced(pool)
        first = guardian.pid
        os.kill(first, signal.SIGKILL)
        kill_browser(pool)
        await until(pool, is_replaced)
        assert (await pool.run(see())).session == "edge-2"
        async with asyncio.timeout(START_TIMEOUT_S):
            await guardian.renewed.wait()
        assert guardian.pid != first
        assert pool.status().n_guardian_restarts == 1
        children = psutil.Process(pool.sessions[0]._launched.leader).children()  # type: ignore[union-attr]
        await asyncio.to_thread(pool.kill)
        _, alive = psutil.wait_procs(children, timeout=START_TIMEOUT_S)
        assert not alive, "the new guardian was not told of the session"


WORKER = """
import asyncio
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings

async def main():
    pool = Pool(RuntimeSettings(simulation="never"), Browser.EDGE)
    await pool.open()
    print("guardian", pool._loopback.guardian.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def start_worker() -> tuple[subprocess.Popen[str], psutil.Process]:
    """A worker with an open pool, and its guardian."""
    worker = subprocess.Popen([sys.executable, "-c", WORKER], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    pid = next(line.split()[1] for line in worker.stdout if line.startswith("guardian "))
    return worker, psutil.Process(int(pid))


@pytest.mark.browser("edge")
def test_browsers_of_a_worker_that_was_killed_with_its_guardian_end_with_the_next_start(
    settings: RuntimeSettings,
) -> None:
    worker, guardian = start_worker()
    with worker:
        family = psutil.Process(worker.pid).children(recursive=True)
        browser = [each for each in family if each != guardian]
        folder = Path(browser[0].environ()[MARK])
        kill_all([guardian, psutil.Process(worker.pid)])
    oldest = min(each.create_time() for each in browser if is_alive(each))
    while time.time() - oldest < LEAST_AGE_S:  # younger ones may be of a worker that is starting
        time.sleep(0.05)
    assert any(map(is_alive, browser)), "somebody ended them: nothing was tested"

    async def start() -> None:
        async with open_pool(settings, Browser.EDGE):
            assert not any(map(is_alive, browser))

    asyncio.run(start())
    assert not folder.exists()


@pytest.mark.browser("edge")
async def test_removed_folders_are_made_again(
    settings: RuntimeSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A session whose own is gone is replaced while it still serves; the one that holds them all is made."""
    home = Path(tempfile.mkdtemp(prefix="wi-", dir="/tmp"))  # short: a browser makes sockets there
    monkeypatch.setattr(tempfile, "tempdir", str(home))
    async with open_pool(settings, Browser.EDGE) as pool:
        (session,), is_replaced = pool.sessions, replaced(pool)
        await asyncio.to_thread(os.rename, home, tmp_path / "removed")
        await pool.session_monitor.look_after(session)
        await until(pool, is_replaced)
        assert (await pool.run(see())).session == "edge-2"
    await asyncio.to_thread(home.rmdir)  # it was made again, and what was in it is gone


@pytest.mark.browser("firefox")
async def test_a_browser_whose_driver_was_killed_serves_on_until_another_has_taken_its_place(
    settings: RuntimeSettings,
) -> None:
    async with open_pool(settings, Browser.FIREFOX) as pool:
        (session,), is_replaced = pool.sessions, replaced(pool)
        driver = psutil.Process(session._launched.leader)  # type: ignore[union-attr]
        driver.kill()
        await await_end(driver.pid)
        assert (await pool.run(see())).session == "firefox-1"
        await pool.session_monitor.look_after(session)
        await until(pool, is_replaced)
        assert (await pool.run(see())).session == "firefox-2"
        assert not driver.is_running(), "the worker has not reaped it"


@pytest.mark.browser("chrome")
async def test_a_pool_that_cannot_start_sessions_keeps_trying_and_says_why(
    settings: RuntimeSettings, tmp_path: Path
) -> None:
    binary = find_installation(Browser.CHROME, settings).binary
    wrapper, broken = tmp_path / "chrome", tmp_path / "broken"
    wrapper.write_text(f'#!/bin/sh\n[ -e {broken} ] && exit 1\nexec {binary} "$@"\n')
    wrapper.chmod(0o755)
    changed = {"chrome_binary": wrapper, "queue_timeout_s": 1.0}
    async with open_pool(settings.model_copy(update=changed), Browser.CHROME) as pool:
        is_replaced = replaced(pool)
        broken.touch()
        kill_browser(pool)
        await until(pool, lambda: Browser.CHROME in pool.fleet.start_failures)
        with pytest.raises(Busy, match=r"A session of chrome failed to start .*: .* did not start"):
            await pool.run(see())
        assert "failed to start" in pool.status().start_failures["chrome"]
        broken.unlink()
        await until(pool, is_replaced)
        assert (await pool.run(see())).success
        assert pool.status().start_failures == {}
