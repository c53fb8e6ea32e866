"""A deadline that passes says so, whatever was being done, and is held against nobody."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable

import numpy as np
import psutil
import pytest
import pytest_asyncio

from browser_runtime.contract.errors import DeadlineExceeded
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Backend, Browser, Family, Precision
from browser_runtime.families.processor import PROCESSORS
from browser_runtime.policies import time_limits
from browser_runtime.pool import Pool
from browser_runtime.pool.dispatch import echoes
from browser_runtime.session.session import Session
from browser_runtime.settings import RuntimeSettings
from tests.conftest import require_browser
from tests.observing import computing
from tests.processes import kill_all, suspend, suspended, with_word

pytestmark = pytest.mark.asyncio(loop_scope="module")

SILENCE = np.zeros(160_000, np.float32)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pools(settings: RuntimeSettings) -> AsyncIterator[Pool]:
    """One session; the name tells the leftover check that it outlives a test."""
    require_browser(Browser.EDGE)
    pool = Pool(settings, Browser.EDGE)
    await pool.open()
    yield pool
    await pool.close()


def embed(n_texts: int = 1, **more: object) -> Request:
    texts = [f"a sentence of some length, number {n}" for n in range(n_texts)]
    inputs = {"texts": texts}
    return Request(
        Family.TEXT_EMBEDDING, "sentences-bert", inputs, backends=(Backend.WASM,), single=False, **more
    )


def listen(**more: object) -> Request:
    return Request(Family.AUDIO, "tones-whisper", {"sounds": [SILENCE]}, backends=(Backend.WASM,), **more)


def see(**more: object) -> Request:
    images = [np.zeros((8, 8, 3), np.uint8)]
    return Request(Family.VISION, "digits-vit", {"images": images}, backends=(Backend.WASM,), **more)


def children(session: Session) -> list[psutil.Process]:
    """The processes of the session's browser."""
    assert session._launched is not None
    return psutil.Process(session._launched.leader).children(recursive=True)


async def exceeded(pool: Pool, request: Request) -> str:
    """What the error says happened when the deadline passed, and that it came in time."""
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded) as caught:
        await pool.run(request)
    assert request.deadline_s is not None
    assert time.monotonic() - started < request.deadline_s + 10
    sentence = re.fullmatch(r"The request's deadline of ([\d.]+) s passed while (.*)\.", str(caught.value))
    assert sentence is not None and float(sentence[1]) == request.deadline_s, str(caught.value)
    return sentence[2]


async def test_while_it_waits_for_a_lane_while_its_model_is_loaded_and_while_it_is_computed(
    pools: Pool,
) -> None:
    model = await pools.store.provide("tones-whisper", Precision.FP32)
    await asyncio.to_thread(PROCESSORS.take, model)  # else a busy machine may still open its tokenizer then
    with suspended(children(pools.sessions[0])):
        assert await exceeded(pools, listen(deadline_s=1.0)) == "its model was loaded on wasm in edge-1"
    await pools.run(embed())
    (lane,) = pools.sessions[0].lanes
    await pools.notifier.until(lambda: not lane.busy)
    with suspended(children(pools.sessions[0])):
        assert await exceeded(pools, embed(deadline_s=1.0)) == "it was computed on wasm in edge-1"
        assert await exceeded(pools, embed(deadline_s=1.0)) == "it waited for a free browser session"
    assert (await pools.run(embed())).session == "edge-1"


async def test_ten_deadlines_in_a_row_are_nobodys_fault(pools: Pool) -> None:
    await pools.run(embed())
    for _ in range(10):
        await exceeded(pools, embed(1000, deadline_s=0.02))
    assert (await pools.run(embed())).success
    status = pools.status()
    assert (status.sessions[0].breaker.failures, status.failing_models, status.n_restarts) == (0, {}, 0)


async def test_while_its_model_is_fetched(pools: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fetch_for_ever(*args: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(pools.store, "provide", fetch_for_ever)
    request = Request(
        Family.VISION, "digits-vit", {"images": [np.zeros((8, 8, 3), np.uint8)]}, deadline_s=0.05
    )
    assert await exceeded(pools, request) == "its model was fetched and checked"


async def test_a_reply_says_how_long_it_might_have_taken(pools: Pool, settings: RuntimeSettings) -> None:
    """At first by its warm-up; once measured, ten times what that much work usually takes."""
    limits = [(await pools.run(see())).routing["time_limit"] for _ in range(5)]
    assert limits[0]["reason"].endswith("by its warm-up, since it is not measured yet")
    assert 10 <= limits[0]["seconds"] <= settings.run_timeout_s
    assert 5 <= limits[-1]["seconds"] < settings.run_timeout_s
    assert limits[-1]["reason"].startswith("10 times the usual 0.")


async def test_a_line_that_drops_under_a_run_is_told_among_the_attempts(pools: Pool) -> None:
    (lane,) = pools.sessions[0].lanes
    await pools.run(embed())
    await pools.notifier.until(lambda: not lane.busy)
    with computing(pools) as busy:
        running = asyncio.create_task(pools.run(embed(300)))
        await busy.wait()
    assert lane.connection._socket is not None
    await lane.connection._socket.close()
    reply = await running
    assert reply.success
    (attempt,) = reply.routing["attempts"]
    assert (attempt["error"], attempt["step"]) == ("BridgeClosed", "reconnect")
    assert re.search(r"; tried again after 0\.\d+ s$", attempt["reason"])


@pytest.mark.browser("edge")
@pytest.mark.parametrize("harm", [suspend, kill_all])
async def test_an_echo_whose_session_is_lost_comes_from_the_next(
    settings: RuntimeSettings, harm: Callable[[list[psutil.Process]], object]
) -> None:
    """A request that was right and alone: it took five seconds for its page to be known as lost."""
    pool = Pool(settings, Browser.EDGE)
    await pool.open()
    try:
        harm(children(pool.sessions[0]))
        assert await pool.echo({"text": "w\u00f6rds"}) == {"text": "w\u00f6rds"}
        assert [session.name for session in pool.sessions] == ["edge-2"]
    finally:
        await pool.close()


@pytest.mark.browser("edge")
async def test_a_page_that_hangs_is_given_up_by_what_its_work_usually_takes(
    settings: RuntimeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its browser replaced, once it has not answered an echo either. The shortest waits are shortened."""
    monkeypatch.setattr(time_limits, "SHORTEST_RUN_S", 1.0)
    monkeypatch.setattr(echoes, "PROOF_TIMEOUT_S", 1.0)
    pool = Pool(settings, Browser.EDGE)
    await pool.open()
    try:
        for _ in range(4):
            await pool.run(embed())
        suspend(with_word(children(pool.sessions[0]), "--type=renderer"))
        started = time.monotonic()
        reply = await pool.run(embed())
        assert (reply.session, reply.success) == ("edge-2", True)
        (attempt,) = reply.routing["attempts"]
        assert (attempt["session"], attempt["error"]) == ("edge-1", "PageSilent")
        assert time.monotonic() - started < settings.run_timeout_s / 2
    finally:
        await pool.close()
