"""An integration from `initialize` to `close`, and whatever goes wrong in between: nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from browser_runtime.contract.errors import BadRequest, SessionLost, SetupError, Unsupported
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.launching import binaries
from fixed_web_platform.resource_pool_bridge import ResourcePoolBridgeIntegration
from tests.conftest import END_TIMEOUT_S
from tests.integration.conftest import CPU, SEVEN
from tests.processes import kill_all

EDGE = dict.fromkeys(("text", "vision", "audio"), "edge")


def one_session(**more: object) -> ResourcePoolBridgeIntegration:
    return ResourcePoolBridgeIntegration(max_connections=1, adaptive_scaling=False, **more)  # type: ignore[arg-type]


def alive(pids: list[int]) -> list[int]:
    """Those that run; a zombie has ended, whoever reaps it."""
    return [
        process.pid
        for process in psutil.process_iter(["pid", "status"])
        if process.pid in pids and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


async def test_a_context_brings_it_up_and_ends_it() -> None:
    async with one_session() as integration:
        (connection,) = integration.browser_connections.values()
        assert connection["browser"] == "chrome"
        assert not connection["is_simulation"]
        model = await integration.get_model(model_type="vision", model_name="digits-vit")
        assert (await model.run(SEVEN))["output"]["labels"][0]["label"] == "7"
    assert integration.browser_connections == {}
    with pytest.raises(BadRequest, match="not up"):
        integration.get_metrics()
    with pytest.raises(BadRequest, match="not up"):
        model(SEVEN)


async def test_closing_again_is_nothing_and_it_can_come_up_again() -> None:
    integration = one_session(browser_preferences=EDGE)
    await integration.close()
    for _ in range(2):
        assert await integration.initialize()
        assert await integration.initialize()
        assert [found["browser"] for found in integration.browser_connections.values()] == ["edge"]
        await integration.close()
        await integration.close()


def hide_browsers(patch: pytest.MonkeyPatch, empty: Path) -> None:
    """As on a machine without any: nothing on PATH, in the usual places or unpacked, and no Node."""
    patch.setenv("PATH", str(empty))
    patch.setenv("WEBINFER_CACHE_DIR", str(empty))
    patch.setattr(binaries, "USUAL_PLACES", ())


def break_browsers(patch: pytest.MonkeyPatch, empty: Path) -> None:
    """As where each ends as soon as it is started."""
    for browser in ("CHROME", "FIREFOX", "EDGE"):
        patch.setenv(f"WEBINFER_{browser}_BINARY", "/bin/false")


NO_BROWSER = pytest.mark.parametrize("spoil", [hide_browsers, break_browsers])
Spoil = Callable[[pytest.MonkeyPatch, Path], None]


@NO_BROWSER
async def test_a_failed_start_is_told_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spoil: Spoil
) -> None:
    spoil(monkeypatch, tmp_path)
    integration = one_session()
    with pytest.raises((SetupError, SessionLost)):
        await integration.initialize()
    with pytest.raises(BadRequest, match="not up"):
        await integration.get_model("vision", "digits-vit")
    await integration.close()


@NO_BROWSER
async def test_where_no_browser_is_to_be_had_the_simulation_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spoil: Spoil
) -> None:
    monkeypatch.setenv("WEBINFER_SIMULATION", "fallback")
    spoil(monkeypatch, tmp_path)
    integration = one_session()
    assert not await integration.initialize()
    (connection,) = integration.browser_connections.values()
    assert connection["is_simulation"]
    assert not connection["capabilities"]["webgpu_supported"]
    model = await integration.get_model("vision", "digits-vit", CPU)
    result = model(SEVEN)
    assert result["is_simulation"]
    assert result["platform"] == "simulation"
    assert integration.get_metrics()["connections"]["current"] == 0
    await integration.close()


async def test_a_missing_browser_is_no_hindrance_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(binaries.NAMES, Browser.CHROME, ())
    async with ResourcePoolBridgeIntegration(adaptive_scaling=False) as integration:
        model = await integration.get_model("vision", "digits-vit", CPU)
        assert model.browser in ("firefox", "edge")


@pytest.mark.parametrize("after_s", [0.05, 0.6])
async def test_a_start_that_is_cancelled_leaves_nothing(after_s: float) -> None:
    with anyio.move_on_after(after_s) as scope:
        await one_session().initialize()
    assert scope.cancelled_caught
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(one_session().initialize(), after_s)


async def test_two_that_initialize_at_once_share_one_start() -> None:
    integration = one_session(browser_preferences=EDGE)
    assert await asyncio.gather(integration.initialize(), integration.initialize()) == [True, True]
    assert len([thread for thread in threading.enumerate() if thread.name == "webinfer-pool"]) == 1
    await integration.close()


async def test_closed_while_it_comes_up_it_says_so_to_all_who_wait() -> None:
    integration = one_session(browser_preferences=EDGE)
    waiting = [asyncio.create_task(integration.initialize()) for _ in range(2)]
    await asyncio.sleep(0)
    assert integration.browser_connections == {}
    await integration.close()
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in told] == [SessionLost, SessionLost]
    assert "closed" in str(told[0])


async def test_dropped_without_a_close_it_ends_but_not_before_its_models() -> None:
    before = set(psutil.Process().children(recursive=True))
    integration: Any = one_session(browser_preferences=EDGE)
    await integration.initialize()
    model: Any = await integration.get_model("vision", "digits-vit", CPU)
    children = set(psutil.Process().children(recursive=True)) - before
    assert children
    del integration
    gc.collect()
    assert (await model.run(SEVEN))["output"]["labels"][0]["label"] == "7"
    del model
    gc.collect()
    # First the browsers: whichever thread collects what was dropped, the closing has begun when they end.
    assert not psutil.wait_procs(children, timeout=END_TIMEOUT_S)[1]
    for thread in threading.enumerate():
        if thread.name == "webinfer-close":
            await asyncio.to_thread(thread.join)


@pytest.mark.parametrize("when", ["its browser was lost", "another is coming up"])
async def test_closed_while_a_killed_browser_is_replaced_it_leaves_nothing(when: str) -> None:
    integration = one_session(browser_preferences=EDGE)
    await integration.initialize()
    engine = integration._up()
    fleet, change = engine.pool.fleet, engine.pool.notifier
    launched = fleet.sessions[0]._launched
    assert launched is not None
    kill_all(psutil.Process(launched.leader).children(recursive=True))
    replaced = {
        "its browser was lost": lambda: not fleet.sessions,
        "another is coming up": lambda: fleet.n_starting.total() > 0,
    }
    await asyncio.wrap_future(engine.submit(lambda: change.until(replaced[when])))
    await integration.close()


FORGETFUL = """
import asyncio, psutil
from fixed_web_platform.resource_pool_bridge import ResourcePoolBridgeIntegration
integration = ResourcePoolBridgeIntegration(max_connections=1)
asyncio.run(integration.initialize())
print(*(process.pid for process in psutil.Process().children(recursive=True)))
{end}
"""


@pytest.mark.parametrize("end", ["", "raise SystemExit(3)", "1 / 0"])
def test_an_interpreter_that_ends_without_a_close_leaves_nothing(end: str) -> None:
    told = subprocess.run(
        [sys.executable, "-X", "dev", "-c", FORGETFUL.format(end=end)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    pids = [int(pid) for pid in told.stdout.split()]
    assert len(pids) > 3, told.stderr
    for trouble in ("ResourceWarning", "Task was destroyed", "never retrieved", "never awaited"):
        assert trouble not in told.stderr
    assert "integration not closed" in told.stderr
    deadline = time.monotonic() + END_TIMEOUT_S
    while left := alive(pids):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)  # they are not our children: nobody tells us


async def test_the_gpu_or_the_cpu_can_be_switched_off() -> None:
    async with one_session(enable_gpu=False) as integration:
        (connection,) = integration.browser_connections.values()
        can = connection["capabilities"]
        assert (can["webgpu_supported"], can["webgpu_enabled"], can["wasm_enabled"]) == (True, False, True)
        model = await integration.get_model("vision", "digits-vit", {"priority_list": ["webgpu", "cpu"]})
        result = model(SEVEN)
        assert result["platform"] == "wasm"
        assert "switched off (enable_gpu" in result["fallbacks"][0]["reason"]
    async with one_session(enable_cpu=False) as integration:
        with pytest.raises(Unsupported, match="switched off"):
            await integration.get_model("vision", "digits-vit", CPU)
        model = await integration.get_model("vision", "digits-vit")
        assert model.platform == "webgpu"
