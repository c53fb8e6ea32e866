"""What a fault in a real browser leads to: the reply is right, and tells what failed and what was done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial

import numpy as np
import psutil
import pytest
import pytest_asyncio

from browser_runtime.contract.messages import Reply, Request
from browser_runtime.contract.vocabulary import Backend, Browser, Family, Precision
from browser_runtime.models.store import ModelStore
from browser_runtime.pool import Pool
from browser_runtime.pool.reporting.metrics import pool_metrics
from browser_runtime.session.session import Session
from browser_runtime.settings import RuntimeSettings
from browser_runtime.simulation.session import SimulatedSession
from tests.conftest import require_browser
from tests.observing import computing
from tests.processes import kill_all, suspend, with_word
from tests.stand_ins import faulty_models as faulty

pytestmark = pytest.mark.asyncio(loop_scope="module")

KNOWN = "a man eats"
# Five seconds and a look; up to four times as much on a busy machine.
NOTICE_S = 60.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pools(settings: RuntimeSettings) -> AsyncIterator[Pool]:
    """A session of the browser for texts and one of another; the name tells that it outlives a test."""
    require_browser(Browser.EDGE)
    require_browser(Browser.FIREFOX)
    store = ModelStore(settings.models_dir)
    for make in (faulty.hungry, faulty.crashes_on_batches, faulty.half):
        faulty.plant(store, make.__name__, {Precision.FP32: make()})
    faulty.plant(store, "another_half", {Precision.FP32: faulty.half()})
    pool = Pool(settings, (Browser.EDGE, Browser.FIREFOX), n_sessions=2, store=store)
    await pool.open()
    yield pool
    await pool.close()


def embed(model: str, *texts: str, backends: tuple[Backend, ...] = (Backend.WASM,)) -> Request:
    """A request that is computed, whatever the page has kept."""
    options = {"reuse_results": False}
    inputs = {"texts": list(texts)}
    return Request(Family.TEXT_EMBEDDING, model, inputs, backends, options=options, single=False)


def long(n_texts: int, backend: Backend) -> Request:
    """A request that runs for a second or more."""
    texts = (f"sentence number {n} of many" for n in range(n_texts))
    return embed("sentences-bert", *texts, backends=(backend,))


async def run_right(pool: Pool, request: Request) -> Reply:
    """The reply, whose embeddings are those of Python's onnxruntime."""
    reply = await pool.run(request)
    model = await pool.store.provide(request.model_name, request.precision)
    right = await SimulatedSession(pool.browser, "to compare with").run(request, model)
    for found, expected in zip(reply.output, right.output, strict=True):
        assert np.asarray(found["embedding"]) @ np.asarray(expected["embedding"]) > 0.9999
    return reply


async def free(pool: Pool) -> None:
    """Return when every lane is there and does nothing."""
    lanes = [lane for session in pool.sessions for lane in session.lanes]
    await pool.notifier.until(
        lambda: all(lane.connection.joined.is_set() and not lane.busy for lane in lanes)
    )


async def whole(pool: Pool) -> None:
    """Return when what was lost has been replaced."""
    async with asyncio.timeout(90):
        await pool.notifier.until(lambda: len(pool.sessions) == 2)


def count(pool: Pool, error: str, step: str) -> int:
    """How often that was done about that error, by the pool's metrics."""
    told = pool_metrics(pool, {})["recovery"]
    return sum(row["n"] for row in told if (row["error"], row["step"]) == (error, step))


async def test_a_batch_that_memory_cannot_hold_is_halved(pools: Pool) -> None:
    await pools.run(embed("hungry", KNOWN))
    reply = await run_right(pools, embed("hungry", *[KNOWN] * 32))
    (attempt,) = reply.routing["attempts"]
    assert (attempt["error"], attempt["step"]) == ("OutOfMemory", "smaller batch")
    assert "bad_alloc" in attempt["message"]
    assert (reply.backend, reply.routing["attempt"]) == (Backend.WASM, 2)
    assert count(pools, "OutOfMemory", "smaller batch") == 1


async def test_a_backend_whose_engine_crashes_under_a_run_is_left_for_the_next(pools: Pool) -> None:
    backends = (Backend.WEBNN, Backend.WASM)
    single = await run_right(pools, embed("crashes_on_batches", KNOWN, backends=backends))
    assert (single.backend, single.routing["attempts"]) == (Backend.WEBNN, [])
    reply = await run_right(pools, embed("crashes_on_batches", *[KNOWN] * 4, backends=backends))
    (attempt,) = reply.routing["attempts"]
    assert (attempt["error"], attempt["step"]) == ("BackendFault", "other backend")
    assert (attempt["backend"], reply.backend) == ("webnn", "wasm")
    assert "unreachable" in attempt["message"]
    assert count(pools, "BackendFault", "other backend") == 1


async def test_a_backend_that_cannot_open_the_model_is_left_for_the_next(pools: Pool) -> None:
    """SwiftShader computes nothing in half precision."""
    await free(pools)
    reply = await run_right(pools, embed("half", KNOWN, backends=(Backend.WEBGPU, Backend.WASM)))
    (attempt,) = reply.routing["attempts"]
    assert (attempt["session"], attempt["error"]) == ("edge-1", "Unsupported")
    assert (attempt["step"], attempt["backend"], reply.backend) == ("other backend", "webgpu", "wasm")
    assert count(pools, "Unsupported", "other backend") == 1


async def test_what_one_browser_cannot_another_does(pools: Pool) -> None:
    await free(pools)
    request = embed("another_half", KNOWN, backends=(Backend.WEBGPU,))
    reply = await run_right(pools, request)
    (attempt,) = reply.routing["attempts"]
    assert (attempt["session"], attempt["step"]) == ("edge-1", "other browser")
    assert (reply.session, reply.backend) == ("firefox-1", Backend.WEBGPU)
    again = await run_right(pools, request)
    assert (again.session, again.routing["attempts"]) == ("firefox-1", []), "it tried in vain once more"


async def break_under(
    pool: Pool, request: Request, prepare: Callable[[Session], Callable[[], None]]
) -> tuple[str, Reply]:
    """The session that was harmed while it computed the request, and the reply."""
    await free(pool)
    # What is harmed is looked up before: it takes a while on a busy machine, and a request need not.
    harms = {session.name: prepare(session) for session in pool.sessions}
    with computing(pool) as busy:
        running = asyncio.create_task(run_right(pool, request))
        await busy.wait()
    (session,) = (each for each in pool.sessions if not each.idle)
    harms[session.name]()
    return session.name, await running


def processes(session: Session) -> list[psutil.Process]:
    assert session._launched is not None
    return psutil.Process(session._launched.leader).children(recursive=True)


def kill_browser(session: Session) -> Callable[[], None]:
    return partial(kill_all, processes(session))


def kill_gpu_process(session: Session) -> Callable[[], None]:
    """What a crashing driver does: every GPUDevice of the browser is lost."""
    return partial(kill_all, with_word(processes(session), "--type=gpu-process"))


async def test_a_request_whose_device_is_lost_runs_on_a_new_one(pools: Pool) -> None:
    await free(pools)
    # Where shaders are being compiled, Chromium's page crashes together with the GPU process.
    await pools.run(long(60, Backend.WEBGPU))
    session, reply = await break_under(pools, long(60, Backend.WEBGPU), kill_gpu_process)
    (attempt,) = reply.routing["attempts"]
    assert (attempt["session"], attempt["error"]) == (session, "DeviceLost")
    assert (attempt["step"], reply.backend) == ("open a new device", Backend.WEBGPU)
    assert count(pools, "DeviceLost", "open a new device") == 1


async def test_a_killed_browsers_request_runs_in_another_session(pools: Pool) -> None:
    session, reply = await break_under(pools, long(600, Backend.WASM), kill_browser)
    (attempt,) = reply.routing["attempts"]
    assert (attempt["session"], attempt["error"]) == (session, "BrowserDied")
    assert attempt["step"] == "other session" and reply.session != session
    assert count(pools, "BrowserDied", "other session") == 1
    await whole(pools)


def stop_browser(session: Session) -> Callable[[], None]:
    """All its processes stand still, their sockets open."""
    return partial(suspend, processes(session))


async def test_a_browser_that_stands_still_is_noticed_and_its_request_runs_elsewhere(pools: Pool) -> None:
    session, reply = await break_under(pools, long(600, Backend.WASM), stop_browser)
    (attempt,) = reply.routing["attempts"]
    assert (attempt["session"], attempt["error"]) == (session, "PageSilent")
    assert "its browser stands still: no answer for" in attempt["message"]
    assert attempt["step"] == "other session" and reply.session != session
    await whole(pools)


@pytest.mark.parametrize("browser", [Browser.EDGE, Browser.FIREFOX])
async def test_a_page_that_was_left_is_noticed_before_anybody_asks_for_it(
    pools: Pool, browser: Browser
) -> None:
    """Whether the browser keeps it, sockets and all, to come back to, or not."""
    await free(pools)
    (session,) = (each for each in pools.sessions if each.installation.browser is browser)
    assert session._launched is not None
    await asyncio.to_thread(session._launched.open_page, "about:blank", 60)
    async with asyncio.timeout(NOTICE_S):
        await pools.notifier.until(lambda: session not in pools.sessions)
    await whole(pools)
