"""What happens to a pool when its browsers, its worker, or its caller's patience end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from browser_runtime.contract.errors import (
    BadSetting,
    DeadlineExceeded,
    SessionLost,
    Unsupported,
)
from browser_runtime.contract.messages import Request
from browser_runtime.contract.session_folders import find_left_over
from browser_runtime.contract.vocabulary import Backend, Browser, Family
from browser_runtime.launching.binaries import find_installation
from browser_runtime.link.protocol import PageEvent
from browser_runtime.pool import Pool
from browser_runtime.session.observer import SessionObserver
from browser_runtime.session.session import Session
from browser_runtime.settings import RuntimeSettings
from tests.conftest import END_TIMEOUT_S, odd_folder, without_exceptions
from tests.exercises import cycles, kills
from tests.exercises.leak import ROOM_MB, run_leak
from tests.processes import kill_all, with_word

DIGIT = np.full((28, 28, 3), 255, np.uint8)


def request(**more: object) -> Request:
    return Request(Family.VISION, "digits-vit", {"images": [DIGIT]}, backends=(Backend.WASM,), **more)


def browser_processes(pool: Pool) -> list[psutil.Process]:
    launched = pool.sessions[0]._launched
    assert launched is not None
    return psutil.Process(launched.leader).children(recursive=True)


def left_open() -> list[str]:
    """The removed files of sessions that this process still holds open, such as the log of a driver."""
    descriptors = [str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    return [name for name in descriptors if "/webinfer-" in name and name.endswith("(deleted)")]


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
        kill_all(browser_processes(pool))
        replies = await asyncio.gather(*running)
        assert all(reply.success for reply in replies)
        async with asyncio.timeout(90):
            await pool.notifier.until(
                lambda: len(pool.sessions) == 2 and first not in {session.name for session in pool.sessions}
            )
        assert pool.status().n_restarts == 1
        assert not left_open()
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
        kill_all(browser_processes(pool))
        waiting = asyncio.create_task(pool.run(request()))
        await pool.notifier.until(lambda: pool.sessions != [] and pool.sessions[0].name == "edge-2")
        assert len(pool.queue) == 0, "it still waits although a session is there"
        assert (await waiting).session == "edge-2"
    finally:
        await pool.close()


@pytest.mark.browser("chrome")
async def test_a_given_up_request_does_not_poison_its_lane(settings: RuntimeSettings) -> None:
    pool = Pool(settings, Browser.CHROME)
    await pool.open()
    try:
        with pytest.raises(DeadlineExceeded, match=r"deadline of 0\.05 s passed while"):
            await pool.run(request(deadline_s=0.05))
        reply = await pool.run(request())
        assert reply.success
        assert pool.status().n_restarts == 0
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


async def test_a_failed_start_names_the_remedy_and_leaves_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "chrome"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    pool = Pool(
        RuntimeSettings(simulation="never", chrome_binary=broken, launch_timeout_s=20), Browser.CHROME
    )
    with pytest.raises(SessionLost, match="did not start"):
        await pool.open()


# Its driver stands still between asking for the version and starting it, as on a busy machine.
SLOW_FIREFOX = """#!/bin/sh
case "$*" in *-version*) grep -q geckodriver /proc/$PPID/comm && {
  kill -STOP $PPID; (sleep 1; kill -CONT $PPID) >/dev/null 2>&1 & } ;; esac
exec %s "$@"
"""


@pytest.fixture
def slow_firefox(settings: RuntimeSettings) -> Iterator[Path]:
    """It is where another user may start it."""
    with odd_folder() as folder:
        folder.chmod(0o755)
        slow = folder / "firefox"
        slow.write_text(SLOW_FIREFOX % find_installation(Browser.FIREFOX, settings).binary)
        slow.chmod(0o755)
        yield slow


@pytest.mark.browser("firefox")
async def test_a_browser_that_was_asked_for_its_version_has_not_ended(
    settings: RuntimeSettings, slow_firefox: Path
) -> None:
    pool = Pool(settings.model_copy(update={"firefox_binary": slow_firefox}), Browser.FIREFOX)
    await pool.open()
    await pool.close()


async def test_a_missing_binary_names_its_setting() -> None:
    settings = RuntimeSettings(simulation="never", firefox_binary=Path("/nowhere/firefox"))
    with pytest.raises(BadSetting, match="WEBINFER_FIREFOX_BINARY"):
        await Pool(settings, Browser.FIREFOX).open()


WORKER = """
import asyncio, sys
from browser_runtime.pool import Pool
from browser_runtime.launching.binaries import find_installation
from browser_runtime.link.protocol import PageEvent
from browser_runtime.settings import RuntimeSettings
from browser_runtime.contract.vocabulary import Browser

async def main():
    pool = Pool(RuntimeSettings(simulation="never"), Browser(sys.argv[1]))
    await pool.open()
    print("up", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("browser", list(Browser))
def test_a_killed_worker_takes_its_browsers_with_it_whatever_its_folder_and_proxies(browser: Browser) -> None:
    with odd_folder() as folder:
        environment = without_exceptions(os.environ) | {"TMPDIR": str(folder)}
        with subprocess.Popen(
            [sys.executable, "-c", WORKER, str(browser)], stdout=subprocess.PIPE, text=True, env=environment
        ) as worker:
            assert worker.stdout is not None
            assert any(line == "up\n" for line in worker.stdout), "the worker did not come up"
            children = psutil.Process(worker.pid).children(recursive=True)
            assert len(children) > 2
            assert list(folder.glob(f"webinfer-{browser}-*"))
            os.kill(worker.pid, signal.SIGKILL)
            _, alive = psutil.wait_procs(children, timeout=END_TIMEOUT_S)
        assert not alive
        assert not list(folder.iterdir())


@pytest.mark.browser("chrome", "edge")
def test_every_request_is_answered_right_and_once_while_browsers_are_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WEBINFER_SIMULATION", "never")
    killed = asyncio.run(kills.run_kills(40, 0, kills.after_answers(5, 15, 25), n_at_once=4))
    assert killed.wrong == killed.failed == []
    assert (killed.n_right, len(killed.answered), killed.n_twice) == (40, 40, 0)
    assert len(killed.noticed_ms) == 3
    assert killed.n_retried > 0


@pytest.mark.parametrize("browser", [Browser.EDGE])
def test_opening_and_closing_leaves_nothing(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBINFER_SIMULATION", "never")
    before, after = cycles.run_cycles(3, browser)
    assert after.grown_since(before) == {}


@pytest.mark.browser("edge")
async def test_the_folder_of_a_running_session_is_not_left_over(settings: RuntimeSettings) -> None:
    """Even where none of its processes is seen, as from another container."""
    pool = Pool(settings, Browser.EDGE)
    await pool.open()
    folder = pool.sessions[0].host._folder
    try:
        assert folder is not None
        os.utime(folder, (0, 0))
        assert folder not in set(find_left_over(()))
    finally:
        await pool.close()
    assert not folder.exists()


@pytest.mark.browser("edge")
async def test_a_leaking_page_is_replaced_before_it_fills_the_memory(settings: RuntimeSettings) -> None:
    leak = await run_leak(settings)
    room = ROOM_MB << 20
    assert leak.leaked - leak.at_first > room
    assert leak.after - leak.at_first < room
    assert (leak.replacement, leak.n_recycled, leak.n_restarts) == ("edge-2", 1, 0)


def kill_gpu_process(session: Session) -> None:
    """What a crashing driver does: every GPUDevice of the browser is lost."""
    assert session._launched is not None
    processes = psutil.Process(session._launched.leader).children(recursive=True)
    (process,) = with_word(processes, "--type=gpu-process")
    process.kill()


async def lose_device(pool: Pool) -> None:
    """Returns when the pool knows of the loss."""
    session, known = pool.sessions[0], asyncio.Event()
    events = pool.fleet.observer

    class Listener(SessionObserver[Session]):
        async def started(self, session: Session) -> None:
            await events.started(session)

        def ended(self, session: Session, error: SessionLost | None) -> None:
            events.ended(session, error)

        def reported(self, session: Session, event: PageEvent) -> None:
            events.reported(session, event)
            if event.name == "device-lost":
                known.set()

    pool.fleet.observer = Listener()
    kill_gpu_process(session)
    async with asyncio.timeout(60):
        await known.wait()
    pool.fleet.observer = events


@pytest.mark.browser("chrome")
async def test_a_lost_device_is_renewed_then_its_browser_and_then_its_backend_is_left(
    settings: RuntimeSettings, small_classifier: str
) -> None:
    def ask(*backends: Backend) -> Request:
        return Request(Family.VISION, small_classifier, {"images": [DIGIT]}, backends=backends, single=False)

    pool = Pool(settings, Browser.CHROME)
    await pool.open()
    try:
        assert (await pool.run(ask(Backend.WEBGPU))).session == "chrome-1"
        await lose_device(pool)
        again = await pool.run(ask(Backend.WEBGPU))
        assert (again.session, again.backend) == ("chrome-1", Backend.WEBGPU)
        assert again.timings.compile_ms > 0, "the model was not loaded on the new device"
        await lose_device(pool)
        anew = await pool.run(ask(Backend.WEBGPU))
        assert (anew.session, anew.backend) == ("chrome-2", Backend.WEBGPU)
        await lose_device(pool)
        with pytest.raises(Unsupported, match="lost again"):
            await pool.run(ask(Backend.WEBGPU))
        elsewhere = await pool.run(ask(Backend.WEBGPU, Backend.WASM))
        assert elsewhere.backend == Backend.WASM
        assert "lost again" in elsewhere.fallbacks[0]["reason"]
        await pool.resize(2)
        assert not any(session.capabilities.can(Backend.WEBGPU) for session in pool.sessions)
    finally:
        await pool.close()
