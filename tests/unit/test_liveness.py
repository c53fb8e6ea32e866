"""Whether a session is still there, told by real sockets to a page that may fall silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
from websockets.asyncio.client import ClientConnection, connect

from browser_runtime.contract.errors import PageSilent, SessionLost
from browser_runtime.launching.hosting import BrowserHost
from browser_runtime.link import frames
from browser_runtime.link.bridge import Bridge, LaneConnection
from browser_runtime.link.protocol import PAGE_LINE
from browser_runtime.session import liveness
from browser_runtime.session.liveness import Lines, Liveness
from browser_runtime.settings import RuntimeSettings

ORIGIN = "http://127.0.0.1:4242"
# Ten times what this process may stand still on a busy machine, as each page and lane does with it.
SILENCE_S = 1.0


class Page:
    """A page of one lane: its lines, what they say while `speaks` and `beats`, and what was concluded."""

    def __init__(self, bridge: Bridge) -> None:
        self.page = bridge.expect("chrome-1", PAGE_LINE, lambda event: None, lambda error: None)
        self.lane = bridge.expect("chrome-1", 0, lambda event: None, lambda error: None)
        self.lost: asyncio.Future[SessionLost] = asyncio.get_running_loop().create_future()
        self.speaks = self.beats = True
        settings = RuntimeSettings(beat_interval_s=0.05, models_dir=Path("/nowhere"))
        lines = Lines(self.page, (self.lane,))
        host = cast(BrowserHost, None)  # only asked when a connection drops
        self.liveness = Liveness("chrome-1", lines, host, settings, self.lost.set_result, lambda why: None)

    async def join(self, bridge: Bridge, line: LaneConnection) -> ClientConnection:
        socket = await connect(bridge.address, origin=ORIGIN)  # type: ignore[arg-type]
        told = {"type": "hello", "protocol": 1, "token": line.token, "session": "chrome-1"}
        await socket.send(frames.encode(told | {"lane": line.number, "boot": "b", "user_agent": "test"}))
        await socket.recv(decode=False)
        await line.joined.wait()
        return socket

    async def answer(self, socket: ClientConnection) -> None:
        async for frame in socket:
            call = frames.decode(cast(bytes, frame))
            if self.speaks and call["type"] == "call":
                await socket.send(
                    frames.encode({"type": "answer", "id": call["id"], "ok": True, "value": {}})
                )

    async def beat(self, socket: ClientConnection) -> None:
        while self.beats:
            await socket.send(frames.encode({"type": "beat", "busy": None, "loaded": []}))
            await asyncio.sleep(0.05)


@pytest.fixture
async def page(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Page]:
    monkeypatch.setattr(liveness, "PAGE_TIMEOUTS_S", (SILENCE_S, SILENCE_S))
    monkeypatch.setattr(liveness, "LANE_SILENCE_S", SILENCE_S)
    bridge = Bridge(ORIGIN)
    await bridge.open()
    page = Page(bridge)
    async with await page.join(bridge, page.page) as its, await page.join(bridge, page.lane) as lane:
        tasks = [asyncio.create_task(page.answer(its)), asyncio.create_task(page.beat(lane))]
        page.liveness.watch()
        yield page
        await page.liveness.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await bridge.close()


async def test_a_page_that_answers_and_lanes_that_beat_are_left_alone(page: Page) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3 * SILENCE_S):
            await asyncio.shield(page.lost)


async def test_a_page_that_does_not_answer_is_lost_though_its_lanes_beat(page: Page) -> None:
    page.speaks = False
    async with asyncio.timeout(60):
        lost = await page.lost
    assert isinstance(lost, PageSilent) and "it left, or its browser stands still" in str(lost)


async def test_an_idle_lane_that_does_not_beat_is_lost_though_its_page_answers(page: Page) -> None:
    page.beats = False
    async with asyncio.timeout(60):
        lost = await page.lost
    assert isinstance(lost, PageSilent) and "its idle lane 0 said nothing" in str(lost)


async def test_an_idle_lane_that_is_asked_and_does_not_answer_is_lost(page: Page) -> None:
    """It beats, but whoever waits for it would wait for as long as a run may take."""
    with pytest.raises(PageSilent, match="its idle lane 0 stands still: no answer for"):
        async with asyncio.timeout(60):
            await page.liveness.ask(page.lane)


async def test_a_lane_that_computes_may_be_silent(page: Page) -> None:
    page.beats = False
    computing = asyncio.create_task(page.lane.call("run", 60))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3 * SILENCE_S):
            await asyncio.shield(page.lost)
    computing.cancel()
    await asyncio.gather(computing, return_exceptions=True)
