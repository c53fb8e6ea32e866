"""The bridge over real sockets: who may join, what an answer is, what a lost line does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from browser_runtime.contract.errors import BridgeClosed, PageSilent, SessionLost, Unsupported
from browser_runtime.link import frames
from browser_runtime.link.bridge import MAX_HELLO_BYTES, Bridge, LaneConnection
from browser_runtime.link.silence import Silence
from browser_runtime.link.visitor import MAX_UNPROVED

ORIGIN = "http://127.0.0.1:4242"


@pytest.fixture
async def bridge() -> AsyncIterator[Bridge]:
    bridge = Bridge(ORIGIN)
    await bridge.open()
    yield bridge
    await bridge.close()


def expected(bridge: Bridge, lost: list[SessionLost] | None = None) -> LaneConnection:
    return bridge.expect("chrome-1", 0, lambda event: None, (lost if lost is not None else []).append)


def hello(its: LaneConnection, /, **change: Any) -> bytes:
    told = {"type": "hello", "protocol": 1, "token": its.token, "session": "chrome-1", "lane": 0}
    return frames.encode(told | {"boot": "b"} | change)


async def join(bridge: Bridge, lane: LaneConnection) -> ClientConnection:
    socket = await connect(bridge.address, origin=ORIGIN)  # type: ignore[arg-type]
    await socket.send(hello(lane))
    assert frames.decode(await socket.recv(decode=False))["type"] == "welcome"
    await lane.joined.wait()
    return socket


async def answer(socket: ClientConnection, **told: Any) -> dict[str, Any]:
    call = frames.decode(await socket.recv(decode=False))
    await socket.send(frames.encode({"type": "answer", "id": call["id"], **told}))
    return call


async def test_a_call_gets_its_answer(bridge: Bridge) -> None:
    lane = expected(bridge)
    async with await join(bridge, lane) as socket:
        call = asyncio.create_task(lane.call("echo", 5, value=1))
        seen = await answer(socket, ok=True, value={"value": 1})
        assert (seen["kind"], seen["deadline_ms"]) == ("echo", 5000)
        assert await call == {"value": 1}


async def test_an_error_answer_is_raised(bridge: Bridge) -> None:
    lane = expected(bridge)
    async with await join(bridge, lane) as socket:
        call = asyncio.create_task(lane.call("load", 5))
        await answer(socket, ok=False, error={"code": "Unsupported", "args": ["webnn", "no"], "stack": ""})
        with pytest.raises(Unsupported, match="webnn"):
            await call


async def test_a_deadline_cancels_the_call_in_the_page(bridge: Bridge) -> None:
    lane = expected(bridge)
    async with await join(bridge, lane) as socket:
        with pytest.raises(PageSilent):
            await lane.call("run", 0.01)
        told = [frames.decode(await socket.recv(decode=False)) for _ in range(2)]
        assert [frame["type"] for frame in told] == ["call", "cancel"]


async def test_a_deadline_holds_where_nobody_reads(bridge: Bridge) -> None:
    """A page that stands still takes no more of a large request than fits the system's buffers."""
    lane = expected(bridge)
    async with await join(bridge, lane) as socket:
        socket.transport.pause_reading()
        async with asyncio.timeout(20):
            with pytest.raises(PageSilent):
                await lane.call("run", 0.1, images=bytes(64 << 20))
            with pytest.raises(PageSilent):
                await lane.call("echo", 0.1)
        socket.transport.resume_reading()


async def test_a_lost_line_fails_what_waits_and_the_next_token_lets_the_lane_back_in(bridge: Bridge) -> None:
    lost: list[SessionLost] = []
    lane = expected(bridge, lost)
    socket = await join(bridge, lane)
    call = asyncio.create_task(lane.call("run", 30))
    await socket.recv()
    await socket.close()
    with pytest.raises(BridgeClosed):
        await call
    assert len(lost) == 1
    async with await join(bridge, lane):
        assert lane.joined.is_set()


async def test_a_lane_that_is_back_before_its_loss_is_seen_fails_what_waits(bridge: Bridge) -> None:
    """Its answer would come on a connection that nobody reads any more."""
    lost: list[SessionLost] = []
    lane = expected(bridge, lost)
    async with await join(bridge, lane) as first:
        call = asyncio.create_task(lane.call("echo", 60))
        await first.recv()
        async with await join(bridge, lane) as second:
            with pytest.raises(BridgeClosed, match="lane 0 connected anew"):
                await call
            await first.close()
            call = asyncio.create_task(lane.call("echo", 60))
            await answer(second, ok=True, value={})
            assert await call == {} and len(lost) == 1


async def test_a_token_serves_once(bridge: Bridge) -> None:
    lane = expected(bridge)
    first = hello(lane)
    async with await join(bridge, lane), connect(bridge.address, origin=ORIGIN) as thief:  # type: ignore[arg-type]
        await thief.send(first)
        refused = frames.decode(await thief.recv(decode=False))
        assert refused["type"] == "refused"
        with pytest.raises(ConnectionClosed):
            await thief.recv()


@pytest.mark.parametrize(
    "change",
    [{"token": "guess"}, {"session": "firefox-1"}, {"lane": 1}, {"protocol": 9}],
    ids=lambda c: next(iter(c)),
)
async def test_strangers_are_turned_away(bridge: Bridge, change: dict[str, Any]) -> None:
    lane = expected(bridge)
    async with connect(bridge.address, origin=ORIGIN) as socket:  # type: ignore[arg-type]
        await socket.send(hello(lane, **change))
        assert frames.decode(await socket.recv(decode=False))["type"] == "refused"
    assert not lane.joined.is_set()


@pytest.mark.parametrize("origin", [None, "http://evil.example", "http://127.0.0.1:4243"])
async def test_another_origin_is_refused(bridge: Bridge, origin: str | None) -> None:
    with pytest.raises(InvalidStatus):
        async with connect(bridge.address, origin=origin):  # type: ignore[arg-type]
            pass


async def test_another_host_is_refused(bridge: Bridge) -> None:
    address = bridge.address.replace("127.0.0.1", "localhost")
    with pytest.raises(InvalidStatus):
        async with connect(address, origin=ORIGIN):  # type: ignore[arg-type]
            pass


async def test_noise_ends_only_its_own_lane(bridge: Bridge) -> None:
    lost: list[SessionLost] = []
    lane = expected(bridge, lost)
    async with await join(bridge, lane) as socket:
        await socket.send(b"noise")
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    assert len(lost) == 1


async def test_a_call_that_goes_on_is_waited_for_and_one_that_stands_still_is_not(bridge: Bridge) -> None:
    """However long all of it takes: a limit holds before the first tokens, another one between two."""
    lane, heard = expected(bridge), []

    def listen(item: int, tokens: Sequence[int], made_ms: float) -> bool:
        heard.append((item, *tokens, made_ms))
        return False

    async with await join(bridge, lane) as socket:
        call = asyncio.create_task(lane.call("run", None, listen, Silence(5.0, 0.4)))
        number = frames.decode(await socket.recv(decode=False))["id"]
        for n in range(6):
            told = {"type": "tokens", "id": number, "item": 0, "tokens": [n], "made_ms": 1.5}
            await socket.send(frames.encode(told))
            await asyncio.sleep(0.1)
        with pytest.raises(PageSilent, match="no token"):
            await call
        assert frames.decode(await socket.recv(decode=False)) == {"type": "cancel", "id": number}
        late = asyncio.create_task(lane.call("run", None, listen, Silence(0.1, 5.0)))
        with pytest.raises(PageSilent, match="no token"):
            await late
        ended = asyncio.create_task(lane.call("run", 0.1, listen, Silence(5.0, 5.0)))
        with pytest.raises(PageSilent, match=r"no answer to run within 0\.1 s"):
            await ended
    assert heard == [(0, n, 1.5) for n in range(6)]


async def test_before_the_token_no_more_is_read_than_a_hello_needs(bridge: Bridge) -> None:
    async with connect(bridge.address, origin=ORIGIN, max_size=None) as socket:  # type: ignore[arg-type]
        with pytest.raises(ConnectionClosed, match=r"1009|message too big"):
            await socket.send(bytes(MAX_HELLO_BYTES + 1))
            await socket.recv()
    lane = expected(bridge)
    async with await join(bridge, lane) as socket:  # who proved himself may send all that a frame holds
        call = asyncio.create_task(lane.call("echo", 30))
        await answer(socket, ok=True, value={"text": "a" * (2 << 20)})
        assert len(str((await call)["text"])) == 2 << 20


async def test_a_crowd_of_strangers_neither_grows_without_bound_nor_keeps_a_lane_out(bridge: Bridge) -> None:
    port = int(bridge.address.rpartition(":")[2])
    crowd = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3 * MAX_UNPROVED)]
    async with await join(bridge, expected(bridge)):
        assert len(bridge._unproved) <= MAX_UNPROVED
        first, _ = crowd[0]
        with pytest.raises(ConnectionResetError):
            assert await first.read() == b""
            raise ConnectionResetError
    for _, writer in crowd:
        writer.transport.abort()
