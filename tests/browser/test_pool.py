"""The pool on real browsers: batches, golden checks, cancellation, deadlines, several models at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest
import pytest_asyncio

from browser_runtime.contract.errors import (
    BadOutput,
    InferenceError,
    OutOfMemory,
    PageFault,
)
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Backend, Browser, Family
from browser_runtime.families.processor import PROCESSORS
from browser_runtime.models.store import ModelStore
from browser_runtime.pool import Pool
from browser_runtime.pool.dispatch.views import Running
from browser_runtime.session.golden import Golden, read_golden
from browser_runtime.session.golden_check import EVERY_RUNS
from browser_runtime.settings import RuntimeSettings
from tasks.telemetry.rows import RequestOrigin, failure_row
from tests.conftest import require_browser

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pools(settings: RuntimeSettings) -> AsyncIterator[Pool]:
    """One pool for this module; the name tells the leftover check that it outlives a test."""
    require_browser(Browser.EDGE)
    pool = Pool(settings, Browser.EDGE)
    await pool.open()
    yield pool
    await pool.close()


def embed(*texts: str, **more: object) -> Request:
    inputs = {"texts": list(texts)}
    return Request(
        Family.TEXT_EMBEDDING,
        "sentences-bert",
        inputs,
        backends=(Backend.WASM,),
        single=len(texts) == 1,
        **more,
    )


def see(image: np.ndarray, **more: object) -> Request:
    return Request(Family.VISION, "digits-vit", {"images": [image]}, backends=(Backend.WASM,), **more)


async def test_an_idle_session_gets_a_request_at_once(pools: Pool) -> None:
    await pools.run(embed("warm"))
    reply = await pools.run(embed("alone"))
    assert reply.details["batch_items"] == 1
    assert reply.timings.queue_ms < 10_000  # nothing gathers: a turn of a busy machine, not a wait


async def test_what_gathers_while_it_is_busy_goes_together_and_stays_in_order(pools: Pool) -> None:
    texts = [f"sentence number {n}" for n in range(40)]
    alone = [np.asarray((await pools.run(embed(text))).output["embedding"]) for text in texts[:8]]
    replies = await asyncio.gather(*(pools.run(embed(text)) for text in texts))
    assert max(reply.details["batch_items"] for reply in replies) > 1
    for one, reply in zip(alone, replies, strict=False):
        assert one @ np.asarray(reply.output["embedding"]) > 1 - 1e-5


async def test_two_models_share_the_lane_without_starving_each_other(pools: Pool) -> None:
    image = np.full((32, 32, 3), 255, np.uint8)
    orders = [pools.run(embed(f"text {n}") if n % 2 else see(image)) for n in range(20)]
    replies = await asyncio.gather(*orders)
    assert [reply.model_name for reply in replies] == ["digits-vit", "sentences-bert"] * 10


async def test_one_bad_item_fails_alone(pools: Pool) -> None:
    good, bad = see(np.zeros((8, 8, 3), np.uint8)), see(np.zeros((0, 8, 3), np.uint8))
    replies = await asyncio.gather(*(pools.run(r) for r in (good, bad, good)), return_exceptions=True)
    assert isinstance(replies[1], InferenceError)
    assert replies[0].success
    assert replies[2].success


async def test_a_cancelled_caller_frees_the_lane(pools: Pool) -> None:
    running = asyncio.create_task(pools.run(embed("to be cancelled")))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await pools.run(embed("after it"))).success
    assert pools.status().n_restarts == 0


async def test_a_run_that_is_late_keeps_no_one_who_could_go_elsewhere(settings: RuntimeSettings) -> None:
    """Nothing else happens meanwhile: it is looked at again, and another session loads the model."""
    pool = Pool(settings, Browser.EDGE, n_sessions=2)
    await pool.open()
    try:
        for _ in range(4):
            warm = await pool.run(embed("warm"))
        session, other = sorted(pool.sessions, key=lambda each: each.name != warm.session)
        (lane,), (cold,) = session.lanes, other.lanes
        for key in list(cold.models.loaded):
            await cold.unload(key, 60)
        lane.holder = object()  # as a call that does not end
        pool.dispatch.matching.running[lane] = Running(time.monotonic(), 5.0)
        reply = await pool.run(embed("elsewhere"))
        assert reply.session != warm.session and reply.timings.queue_ms < settings.queue_timeout_s * 500
        assert lane.busy
    finally:
        await pool.close()


async def test_every_loaded_model_has_answered_its_golden_example(pools: Pool) -> None:
    reply = await pools.run(embed("hello"))
    assert reply.details["golden"] == "passed"


async def test_a_model_leaves_when_another_needs_its_memory(
    pools: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lane,) = pools.sessions[0].lanes
    await pools.run(embed("first"))
    for key in [key for key in lane.models.loaded if key.name == "digits-vit"]:
        lane.models.drop(key)
    monkeypatch.setattr(lane.models, "max_bytes", lane.models.held_bytes)
    await pools.run(see(np.zeros((8, 8, 3), np.uint8)))
    assert [key.name for key in lane.models.loaded] == ["digits-vit"]
    monkeypatch.undo()
    assert (await pools.run(embed("again"))).success


async def test_a_model_larger_than_what_is_free_is_refused_unless_it_is_loaded(
    pools: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pools.run(embed("loaded"))
    monkeypatch.setattr(pools.health, "free_memory_bytes", lambda: 1000)
    assert (await pools.run(embed("still loaded"))).success
    with pytest.raises(OutOfMemory, match=r"tones-whisper needs \d+ bytes, this machine has 1000 left"):
        await pools.run(Request(Family.AUDIO, "tones-whisper", {"sounds": [np.zeros(800, np.float32)]}))


async def test_the_golden_check_comes_again_and_the_lane_goes_on(pools: Pool) -> None:
    await pools.run(embed("before"))
    loaded = next(
        m for k, m in pools.sessions[0].lanes[0].models.loaded.items() if k.name == "sentences-bert"
    )
    loaded.n_runs = EVERY_RUNS - 1
    await pools.run(embed("the one after which it is due"))
    async with asyncio.timeout(120):
        assert (await pools.run(embed("after it"))).success
    assert loaded.n_runs < EVERY_RUNS


async def test_a_defect_of_ours_is_told_and_frees_the_lane(
    pools: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise KeyError("a defect")

    with monkeypatch.context() as patched:
        patched.setattr(pools.sessions[0], "run", fail)
        with pytest.raises(PageFault, match="a defect"):
            await pools.run(embed("fails"))
    assert (await pools.run(embed("goes on"))).success


async def test_a_failure_says_where_it_was_also_in_the_books(
    pools: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = await pools.run(embed("loads"))
    session = pools.sessions[0]

    async def fail(*args: object, **more: object) -> None:
        raise PageFault("a defect", "its stack")

    request = embed("fails")
    with monkeypatch.context() as patched:
        patched.setattr(session.lanes[0].connection, "call", fail)
        with pytest.raises(PageFault, match="a defect") as caught:
            await pools.run(request)
    _, row = failure_row(request, caught.value, RequestOrigin(), "worker", str(pools.browser), 5.0)
    told = {name: row[name] for name in ("session", "browser_build", "backend", "ok", "error_code")}
    assert told == {
        "session": session.name,
        "browser_build": loaded.browser_build,
        "backend": loaded.backend,
        "ok": False,
        "error_code": "PageFault",
    }


async def test_a_wrong_golden_answer_unloads_the_model_and_names_the_kernel(
    pools: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pools.run(see(np.zeros((8, 8, 3), np.uint8)))
    lane = pools.sessions[0].lanes[0]
    loaded = next(model for key, model in lane.models.loaded.items() if key.name == "digits-vit")
    assert loaded.golden is not None
    monkeypatch.setattr(loaded, "golden", replace(loaded.golden, word="not a digit"))
    with pytest.raises(BadOutput, match=r"golden check of digits-vit.*onnxruntime-web.*'not a digit'"):
        await pools.sessions[0].golden.check(lane, loaded)
    assert loaded.key not in lane.models.loaded
    assert (await pools.run(see(np.zeros((8, 8, 3), np.uint8)))).success


@pytest.mark.parametrize("name", ["digits-vit", "sentences-bert", "tones-whisper"])
async def test_every_built_in_model_has_a_golden_example(settings: RuntimeSettings, name: str) -> None:
    model = ModelStore(settings.models_dir).ensure(name)
    assert isinstance(read_golden(model, PROCESSORS.take(model)), Golden)
