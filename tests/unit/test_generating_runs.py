"""A run that generates text, over a real socket: its pieces, its limits, and what an earlier run left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from browser_runtime.contract.errors import DeadlineExceeded, PageSilent
from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.pieces import Piece, PieceMemory
from browser_runtime.contract.vocabulary import Backend, Precision
from browser_runtime.families.text_generation import GenerationProcessor
from browser_runtime.link import frames
from browser_runtime.link.bridge import Bridge
from browser_runtime.models.store import ModelStore
from browser_runtime.policies.time_limits import TimeLimit
from browser_runtime.session.generating import GeneratingRun
from browser_runtime.session.lanes import SessionLane
from browser_runtime.session.loading import ModelCache
from browser_runtime.session.timed_calls import Deadline

ORIGIN = "http://127.0.0.1:4242"
KEY = ModelKey.of("numbers-llama", "1", Backend.WASM, Precision.BITS_4)
LIMITS = (TimeLimit(5.0, "ten times the usual"), TimeLimit(0.3, "ten times the usual"))


class Kept(PieceMemory):
    """Keeps all pieces."""

    def __init__(self, tokens: tuple[int, ...] = ()) -> None:
        super().__init__(tokens)
        self.pieces: list[Piece] = []

    def put(self, piece: Piece) -> None:
        super().put(piece)
        self.pieces.append(piece)


@pytest.fixture(scope="module")
def processor(tmp_path_factory: pytest.TempPathFactory) -> GenerationProcessor:
    model = ModelStore(tmp_path_factory.mktemp("models")).ensure("numbers-llama", Precision.BITS_4)
    return GenerationProcessor.open(model)


@pytest.fixture
async def joined() -> AsyncIterator[tuple[SessionLane, ClientConnection]]:
    """A lane, and the page's end of its connection."""
    bridge = Bridge(ORIGIN)
    await bridge.open()
    connection = bridge.expect("chrome-1", 0, lambda event: None, lambda error: None)
    async with connect(bridge.address, origin=ORIGIN) as socket:  # type: ignore[arg-type]
        hello = {"type": "hello", "protocol": 1, "token": connection.token, "session": "chrome-1"}
        await socket.send(frames.encode(hello | {"lane": 0, "boot": "b"}))
        await socket.recv()
        await connection.joined.wait()
        yield SessionLane(connection, ModelCache(4)), socket
    await bridge.close()


def start(
    processor: GenerationProcessor,
    lane: SessionLane,
    kept: Kept,
    deadline: Deadline | None = None,
    **more: Any,
) -> asyncio.Task[Any]:
    items = processor.encode(["Write"], ["prompts[0]"], {})
    run = GeneratingRun(processor, items, {"max_new_tokens": 20, "seed": 1} | more, kept)
    return asyncio.create_task(run.compute(lane, KEY, "on wasm in chrome-1", LIMITS, deadline))


async def take_call(socket: ClientConnection) -> dict[str, Any]:
    return frames.decode(await socket.recv(decode=False))


async def tell(socket: ClientConnection, call: dict[str, Any], token: int) -> None:
    told = {"type": "tokens", "id": call["id"], "item": 0, "tokens": [token], "made_ms": 12.5}
    await socket.send(frames.encode(told))


async def end(socket: ClientConnection, call: dict[str, Any], tokens: list[int], finish: str) -> None:
    output = {"tokens": tokens, "finish": finish, "prompt_tokens": 1, "reused_tokens": 0}
    value = {"results": [{"ok": True, "output": output}], "timings": {}, "details": {}}
    await socket.send(frames.encode({"type": "answer", "id": call["id"], "ok": True, "value": value}))


async def test_a_run_may_take_as_long_as_it_goes_on(
    processor: GenerationProcessor, joined: tuple[SessionLane, ClientConnection]
) -> None:
    lane, socket = joined
    kept, tokens = Kept(), processor.tokenizer.encode("three hundred", add_special_tokens=False).ids
    running = start(processor, lane, kept)
    call = await take_call(socket)
    assert call["deadline_ms"] is None and call["options"]["max_new_tokens"] == 20
    for token in tokens * 4:
        await tell(socket, call, token)
        await asyncio.sleep(0.15)
    await end(socket, call, tokens * 4, "length")
    output = (await running)["results"][0]["output"]
    assert output["text"] == "".join(piece.text for piece in kept.pieces) != ""
    assert [token for piece in kept.pieces for token in piece.tokens] == output["tokens"] == tokens * 4
    assert {piece.made_ms for piece in kept.pieces if piece.tokens} == {12.5}
    assert lane.activity.doing == "it was generated on wasm in chrome-1"


async def test_a_page_that_stands_still_amid_a_text_is_noticed_and_its_tokens_are_kept(
    processor: GenerationProcessor, joined: tuple[SessionLane, ClientConnection]
) -> None:
    lane, socket = joined
    kept = Kept()
    running = start(processor, lane, kept)
    call = await take_call(socket)
    await tell(socket, call, 7)
    with pytest.raises(PageSilent, match=r"no token \(0\.3 s: ten times the usual\)"):
        await running
    assert await take_call(socket) == {"type": "cancel", "id": call["id"]}
    again = start(processor, lane, kept)
    call = await take_call(socket)
    ids = list(call["items"][0]["ids"])
    assert (ids[call["items"][0]["n_prompt"] :], call["options"]["max_new_tokens"]) == ([7], 19)
    await end(socket, call, [8], "length")
    assert (await again)["results"][0]["output"]["tokens"] == [7, 8]


async def test_a_deadline_holds_however_well_it_goes_on(
    processor: GenerationProcessor, joined: tuple[SessionLane, ClientConnection]
) -> None:
    lane, socket = joined
    arrived = asyncio.get_running_loop().time()
    running = start(processor, lane, Kept(), Deadline.of(0.5, arrived))
    call = await take_call(socket)
    while not running.done():
        await tell(socket, call, 7)
        await asyncio.sleep(0.05)
    with pytest.raises(DeadlineExceeded, match=r"0\.5 s passed while it was generated"):
        await running


async def test_nothing_is_asked_of_a_page_where_an_earlier_run_had_generated_everything(
    processor: GenerationProcessor, joined: tuple[SessionLane, ClientConnection]
) -> None:
    lane, _ = joined
    (stop, *_) = processor.stop_tokens
    output = (await start(processor, lane, Kept((7, stop))))["results"][0]["output"]
    assert (output["tokens"], output["finish_reason"]) == ([7, stop], "stop")
    output = (await start(processor, lane, Kept((7, 7)), max_new_tokens=2))["results"][0]["output"]
    assert (output["tokens"], output["finish_reason"]) == ([7, 7], "length")
