"""Long texts of a real page: calls of others between their tokens, and what harms the page amid one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import psutil
import pytest
import pytest_asyncio

from browser_runtime.contract.errors import DeadlineExceeded
from browser_runtime.contract.generating_families import TEXT_GENERATION
from browser_runtime.contract.messages import Reply, Request
from browser_runtime.contract.pieces import Piece, PieceMemory
from browser_runtime.contract.vocabulary import Backend, Browser, Family
from browser_runtime.pool import Pool
from browser_runtime.session.session import Session
from browser_runtime.settings import RuntimeSettings
from tests.conftest import require_browser
from tests.processes import kill_all, suspend, with_word

pytestmark = pytest.mark.asyncio(loop_scope="module")

# At such chances the model goes on for a hundred tokens and more.
WILD = {"temperature": 5.0, "repetition_penalty": 0.5, "max_new_tokens": 200}
LONG, LONGER, OTHER = 6, 18, 21  # seeds
# A story takes a tenth of a second: on a busy machine three pictures may take longer than one.
STORIES = 20
PICTURE = Request(
    Family.VISION, "digits-vit", {"images": [np.zeros((28, 28, 3), np.uint8)]}, backends=(Backend.WASM,)
)


def story(
    seed: int, backend: Backend = Backend.WASM, deadline_s: float | None = None, **more: Any
) -> Request:
    return Request(
        Family.TEXT_GENERATION,
        "numbers-llama",
        {"prompts": ["Write"]},
        backends=(backend,),
        precision=TEXT_GENERATION.precision,
        options=WILD | {"seed": seed} | more,
        deadline_s=deadline_s,
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pools(settings: RuntimeSettings) -> AsyncIterator[Pool]:
    require_browser(Browser.CHROME)
    pools = Pool(settings, Browser.CHROME)
    await pools.open()
    yield pools
    await pools.close()


class Reading(PieceMemory):
    """Reads along: what has come, and when there was enough to do something."""

    def __init__(self, enough: int = 1, then: Callable[[], None] = lambda: None) -> None:
        """`then` is called at once: a text of two hundred tokens takes a tenth of a second."""
        super().__init__()
        self.read, self.events, self._enough, self._then = asyncio.Event(), [""], enough, then

    def put(self, piece: Piece) -> None:
        super().put(piece)
        self.events.append(piece.text)
        if self.n_tokens >= self._enough and not self.read.is_set():
            self.read.set()
            self._then()


@pytest.mark.browser("chrome")
async def test_calls_of_another_family_wait_for_a_step_and_not_for_a_story(pools: Pool) -> None:
    await pools.run(PICTURE)
    for _ in range(STORIES):
        reading = Reading()
        telling = asyncio.create_task(pools.run(story(LONGER), reading))
        await reading.read.wait()
        for n in range(3):
            await pools.run(PICTURE)
            reading.events.append(f"picture {n}")
        reply = await telling
        assert reply.output["generated_tokens"] > 100
        at = [reading.events.index(f"picture {n}") for n in range(3)]
        if at[-1] < len(reading.events) - 1:
            break
    assert at[-1] < len(reading.events) - 1, "the pictures came before the story's end"
    assert at[0] < at[1] - 1 < at[2] - 2, "the story went on between them"


def stop(session: Session) -> None:
    """All its processes stand still, their sockets open."""
    suspend(_processes(session))


def kill(session: Session) -> None:
    kill_all(_processes(session))


def lose_device(session: Session) -> None:
    """What a crashing driver does."""
    (process,) = with_word(_processes(session), "--type=gpu-process")
    process.kill()


def _processes(session: Session) -> list[psutil.Process]:
    assert session._launched is not None
    return psutil.Process(session._launched.leader).children(recursive=True)


@pytest.mark.browser("chrome")
@pytest.mark.parametrize(
    ("harm", "backend", "error"),
    [
        (lose_device, Backend.WEBGPU, "DeviceLost"),
        (kill, Backend.WASM, "BrowserDied"),
        (stop, Backend.WASM, "PageSilent"),
    ],
)
async def test_a_story_goes_on_behind_what_harmed_its_page(
    pools: Pool, harm: Callable[[Session], None], backend: Backend, error: str
) -> None:
    for _ in range(5):  # on a busy machine the page may have told all before the harm is done
        # By a session that is well: whatever befell an earlier one is found by this run.
        whole: Reply = await pools.run(story(LONGER, backend))
        session = pools.sessions[0]
        reply = await pools.run(story(LONGER, backend), Reading(3, lambda harmed=session: harm(harmed)))
        if reply.routing["attempts"]:
            break
    first, *more = reply.routing["attempts"]
    assert first["error"] == error
    # Where it was tried again before its session was known as lost, it lost that session twice.
    assert {attempt["session"] for attempt in more} <= {first["session"]}
    assert (reply.output["tokens"], reply.output["text"]) == (whole.output["tokens"], whole.output["text"])
    assert reply.backend == backend


@pytest.mark.browser("chrome")
async def test_a_deadline_ends_a_story_and_not_its_neighbour(pools: Pool) -> None:
    whole = await pools.run(story(LONG))
    late, other = await asyncio.gather(
        pools.run(story(OTHER, deadline_s=0.01)), pools.run(story(LONG)), return_exceptions=True
    )
    assert isinstance(late, DeadlineExceeded)
    assert isinstance(other, Reply) and other.output["tokens"] == whole.output["tokens"]


@pytest.mark.browser("chrome")
async def test_where_the_cache_holds_few_prompts_the_others_wait_for_their_turn(
    settings: RuntimeSettings,
) -> None:
    require_browser(Browser.CHROME)
    small = Pool(settings.model_copy(update={"kv_cache_mb": 1}), Browser.CHROME)
    await small.open()
    try:
        replies = await asyncio.gather(*(small.run(story(LONG, max_new_tokens=20)) for _ in range(6)))
    finally:
        await small.close()
    assert len({tuple(reply.output["tokens"]) for reply in replies}) == 1
    slots, cache_bytes = replies[0].details["slots"], replies[0].details["cache_bytes"]
    assert slots < 6 and (cache_bytes <= 1_000_000 or slots == 1)
    assert any(reply.timings.queue_ms > 1 for reply in replies)
