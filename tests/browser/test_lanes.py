"""The page's end of the data line: it comes back when the line drops, and says when its device is gone."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest

from browser_runtime.contract.errors import (
    BackendFault,
    BadRequest,
    DeviceLost,
    ModelFault,
    Unsupported,
)
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Backend, Browser, Family, Precision
from browser_runtime.link.protocol import PageEvent
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.store import ModelStore
from browser_runtime.pool import Pool
from browser_runtime.session.session import Session, SessionLane
from browser_runtime.settings import RuntimeSettings
from tests.processes import with_word
from tests.stand_ins import faulty_models as faulty
from tests.stand_ins.tiny_models import write_bert, write_classifier
from tests.stand_ins.tiny_whisper import write_whisper

pytestmark = pytest.mark.asyncio(loop_scope="module")

DIGIT = np.full((28, 28, 3), 255, np.uint8)


def request(backend: Backend, model: str = "digits-vit") -> Request:
    return Request(Family.VISION, model, {"images": [DIGIT]}, backends=(backend,))


def first_lane(pool: Pool) -> tuple[Session, SessionLane]:
    session = pool.sessions[0]
    return session, session.lanes[0]


async def test_a_dropped_line_is_taken_up_again_with_the_models_still_loaded(shared_pool: Pool) -> None:
    await shared_pool.run(request(Backend.WASM))
    session, lane = first_lane(shared_pool)
    boot, keys = lane.connection.boot, set(lane.models.loaded)
    assert lane.connection._socket is not None
    await lane.connection._socket.close()
    async with asyncio.timeout(30):
        await lane.connection.joined.wait()
    assert lane.connection.boot == boot
    await shared_pool.run(request(Backend.WASM))
    assert shared_pool.sessions == [session]
    assert set(lane.models.loaded) == keys


async def test_calls_that_make_no_sense_are_refused_and_the_lane_goes_on(shared_pool: Pool) -> None:
    _, lane = first_lane(shared_pool)
    with pytest.raises(Unsupported, match="divine"):
        await lane.connection.call("divine", 60)
    with pytest.raises(BadRequest, match="not loaded"):
        await lane.connection.call("run", 60, key="nothing", items=[], options={})
    for family in ("toString", "../models", "olfaction", "windows"):
        with pytest.raises(Unsupported, match=f"the family {family}"):
            await lane.connection.call(
                "load", 60, key="k", family=family, model={}, backend="wasm", precision="fp32", options={}
            )
    assert (await lane.connection.call("echo", 60, value=[1, None, "x"]))["value"] == [1, None, "x"]


async def test_a_page_fetches_the_files_that_the_worker_names_and_no_others(
    shared_pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, fetched = shared_pool.store, []
    models = {
        Family.TEXT_EMBEDDING: import_model(write_bert(tmp_path / "text"), "named-text", store=store),
        Family.VISION: import_model(write_classifier(tmp_path / "image"), "named-image", store=store),
        Family.AUDIO: import_model(write_whisper(tmp_path / "sound"), "named-sound", store=store),
    }
    resolve = store.resolve_file

    def note(name: str, path: str, version: str | None = None) -> Path:
        fetched.append((name, path))
        return resolve(name, path, version)

    monkeypatch.setattr(store, "resolve_file", note)
    for family, model in models.items():
        nothing: dict[str, object] = {model.family.inputs.batch: []}
        await shared_pool.run(Request(family, model.name, nothing, backends=(Backend.WASM,), single=False))
        graphs = model.graphs(Precision.FP32).values()
        named = {(model.name, path) for graph in graphs for path in graph.paths}
        assert {each for each in fetched if each[0] == model.name} == named


async def test_a_call_that_was_given_up_while_queued_does_not_run(shared_pool: Pool) -> None:
    _, lane = first_lane(shared_pool)
    big = np.zeros(2_000_000, np.float32)
    calls = [asyncio.create_task(lane.connection.call("echo", 60, value=big)) for _ in range(3)]
    await asyncio.sleep(0)
    calls[1].cancel()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(results[1], asyncio.CancelledError)
    assert all(not isinstance(results[index], BaseException) for index in (0, 2))


async def test_a_lane_whose_engine_crashed_starts_anew_and_its_browser_stays(
    shared_pool: Pool, settings: RuntimeSettings
) -> None:
    """The model that crashed it is refused from then on; another one is loaded anew in the same browser."""
    faulty.plant(ModelStore(settings.models_dir), "nested", {Precision.FP32: faulty.nested_functions()})
    deep = Request(Family.TEXT_EMBEDDING, "nested", {"texts": ["a man"]}, backends=(Backend.WASM,))
    session, lane = first_lane(shared_pool)
    await shared_pool.run(request(Backend.WASM))
    boot = lane.boot
    with pytest.raises(BackendFault, match=r"wasm failed on the model nested: opening .*(stack|recursion)"):
        await shared_pool.run(deep)
    with pytest.raises(ModelFault, match="failed once and is not tried before"):
        await shared_pool.run(deep)
    reply = await shared_pool.run(request(Backend.WASM))
    assert reply.timings.load_ms > 0, "the crashed engine still served"
    assert lane.boot != boot
    assert shared_pool.sessions == [session]
    assert shared_pool.health.of(session).breaker.counts(0).failures == 0


@pytest.mark.browser("chrome")
async def test_a_lost_gpu_is_told_and_the_next_request_gets_a_new_device(
    settings: RuntimeSettings, small_classifier: str
) -> None:
    pool = Pool(settings, Browser.CHROME)
    await pool.open()
    try:
        await pool.run(request(Backend.WEBGPU, small_classifier))
        session, lane = first_lane(pool)
        (key,) = lane.models.loaded
        told, tell = asyncio.Event(), lane.connection.on_event

        def hear(event: PageEvent) -> None:
            tell(event)
            told.set()

        lane.connection.on_event = hear
        _gpu_process(session).send_signal(signal.SIGKILL)
        async with asyncio.timeout(60):
            await told.wait()
        assert not lane.models.loaded
        with pytest.raises(DeviceLost, match=session.name):
            await lane.connection.call("run", 60, key=str(key), items=[DIGIT], options={})
        reply = await pool.run(request(Backend.WEBGPU, small_classifier))
        assert reply.backend == "webgpu"
        assert pool.sessions == [session]
    finally:
        await pool.close()


def _gpu_process(session: Session) -> psutil.Process:
    assert session._launched is not None
    children = psutil.Process(session._launched.leader).children(recursive=True)
    (process,) = with_word(children, "--type=gpu-process")
    return process
