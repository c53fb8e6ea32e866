"""What happens to a pool when its browsers, its worker, or its caller's patience end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import psutil
import pytest

from browser_runtime.errors import Busy, SessionLost, SetupError
from browser_runtime.messages import Request
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from browser_runtime.vocabulary import Backend, Browser, Family

DIGIT = np.full((28, 28, 3), 255, np.uint8)


def request(**more: object) -> Request:
    return Request(Family.VISION, "digits-vit", {"images": [DIGIT]}, backends=(Backend.WASM,), **more)


def browser_processes(pool: Pool) -> list[psutil.Process]:
    launched = pool.sessions[0]._launched
    assert launched is not None
    return psutil.Process(launched.leader).children(recursive=True)


@pytest.mark.parametrize("browser", list(Browser))
async def test_a_killed_browser_is_replaced_and_its_request_runs_elsewhere(
    browser: Browser, settings: RuntimeSettings
) -> None:
    pool = Pool(settings, browser, n_sessions=2)
    await pool.open()
    try:
        first = pool.sessions[0].name
        running = [asyncio.create_task(pool.run(request())) for _ in range(4)]
        await asyncio.sleep(0)
        for process in browser_processes(pool):
            process.send_signal(signal.SIGKILL)
        replies = await asyncio.gather(*running)
        assert all(reply.success for reply in replies)
        async with asyncio.timeout(30):
            await pool.change.until(
                lambda: len(pool.sessions) == 2 and first not in {session.name for session in pool.sessions}
            )
        assert pool.status()["restarts"] == 1
    finally:
        await pool.close()


@pytest.mark.browser("edge")
async def test_a_request_before_a_dead_pool_runs_as_soon_as_a_session_is_back(
    settings: RuntimeSettings,
) -> None:
    pool = Pool(settings, Browser.EDGE)
    await pool.open()
    try:
        await pool.run(request())
        for process in browser_processes(pool):
            process.send_signal(signal.SIGKILL)
        waiting = asyncio.create_task(pool.run(request()))
        await pool.change.until(lambda: pool.sessions != [] and pool.sessions[0].name == "edge-2")
        assert len(pool.line) == 0, "it still waits although a session is there"
        assert (await waiting).session == "edge-2"
    finally:
        await pool.close()


@pytest.mark.browser("chrome")
async def test_a_given_up_request_does_not_poison_its_lane(settings: RuntimeSettings) -> None:
    pool = Pool(settings, Browser.CHROME)
    await pool.open()
    try:
        with pytest.raises((SessionLost, Busy)):
            await pool.run(request(deadline_s=0.05))
        reply = await pool.run(request())
        assert reply.success
        assert pool.status()["restarts"] == 0
    finally:
        await pool.close()


@pytest.mark.browser("edge")
async def test_a_session_can_be_added_and_drained_away(settings: RuntimeSettings) -> None:
    pool = Pool(settings, Browser.EDGE)
    await pool.open()
    try:
        assert await pool.resize(2) == 2
        running = [asyncio.create_task(pool.run(request())) for _ in range(6)]
        await asyncio.sleep(0)
        assert await pool.resize(1) == 1
        assert all(reply.success for reply in await asyncio.gather(*running))
    finally:
        await pool.close()


@pytest.mark.browser("edge")
async def test_a_draining_pool_finishes_what_it_has_and_takes_nothing_new(settings: RuntimeSettings) -> None:
    pool = Pool(settings, Browser.EDGE)
    await pool.open()
    try:
        running = asyncio.create_task(pool.run(request()))
        await asyncio.sleep(0)
        pool.refuse_new()
        with pytest.raises(Busy):
            await pool.run(request())
        await pool.drain()
        assert running.done()
        assert running.result().success
    finally:
        await pool.close()


async def test_a_failed_start_names_the_remedy_and_leaves_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "chrome"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    pool = Pool(
        RuntimeSettings(simulation="never", chrome_binary=broken, launch_timeout_s=20), Browser.CHROME
    )
    with pytest.raises(SessionLost, match="did not start"):
        await pool.open()


async def test_a_missing_binary_names_its_setting() -> None:
    settings = RuntimeSettings(simulation="never", firefox_binary=Path("/nowhere/firefox"))
    with pytest.raises(SetupError, match="WEBINFER_FIREFOX_BINARY"):
        await Pool(settings, Browser.FIREFOX).open()


WORKER = """
import asyncio, sys
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from browser_runtime.vocabulary import Browser

async def main():
    pool = Pool(RuntimeSettings(simulation="never"), Browser(sys.argv[1]))
    await pool.open()
    print("up", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("browser", list(Browser))
def test_a_killed_worker_takes_its_browsers_with_it(browser: Browser) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, str(browser)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as worker:
        assert worker.stdout is not None
        assert any(line == "up\n" for line in worker.stdout), "the worker did not come up"
        children = psutil.Process(worker.pid).children(recursive=True)
        assert len(children) > 2
        os.kill(worker.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    assert not list(Path(tempfile.gettempdir()).glob(f"webinfer-{browser}-*"))
