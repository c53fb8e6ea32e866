"""What a model, an input or a backend does wrong costs that one and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from browser_runtime.contract.errors import BackendFault, ModelFault
from browser_runtime.contract.messages import Reply, Request
from browser_runtime.contract.status import BreakerState
from browser_runtime.contract.vocabulary import Backend, Browser, Family, Precision
from browser_runtime.models.store import ModelStore
from browser_runtime.pool import Pool
from browser_runtime.pool.reporting.metrics import pool_metrics
from browser_runtime.settings import RuntimeSettings
from tests.conftest import require_browser
from tests.observing import computing
from tests.stand_ins import faulty_models as faulty

pytestmark = pytest.mark.asyncio(loop_scope="module")

KNOWN, UNKNOWN = "a man eats", "the girl sleeps"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pools(settings: RuntimeSettings) -> AsyncIterator[Pool]:
    """One session of the browser that has WebNN, and a faulty model of each kind."""
    require_browser(Browser.EDGE)
    store = ModelStore(settings.models_dir)
    for make in (
        faulty.short_table,
        faulty.unknown_operator,
        faulty.never_runs,
        faulty.roberta,
    ):
        faulty.plant(store, make.__name__, {Precision.FP32: make()})
    faulty.plant(store, "sound", {Precision.FP32: faulty.lookup()})
    pool = Pool(settings, Browser.EDGE, store=store)
    await pool.open()
    yield pool
    await pool.close()


async def embed(
    pool: Pool, model: str, *texts: str, backends: tuple[Backend, ...] = (Backend.WASM,)
) -> Reply:
    inputs, single = {"texts": list(texts)}, len(texts) == 1
    return await pool.run(Request(Family.TEXT_EMBEDDING, model, inputs, backends=backends, single=single))


@pytest.mark.parametrize("model", ["unknown_operator", "never_runs"])
async def test_a_model_that_cannot_run_costs_itself_and_nobody_else(pools: Pool, model: str) -> None:
    """Five failures open the model's breaker; another model of the session does not even wait."""
    await embed(pools, "sound", KNOWN)
    for _ in range(5):
        with pytest.raises(ModelFault, match=rf"{model} cannot be used: .*ERROR_CODE"):
            await embed(pools, model, KNOWN)
    with (
        computing(pools) as busy,
        pytest.raises(ModelFault, match=r"5 times in a row .* not tried before .* UTC .*ERROR_CODE"),
    ):
        await embed(pools, model, KNOWN)
    assert not busy.is_set(), "no lane was asked"
    reply = await embed(pools, "sound", KNOWN)
    assert reply.timings.queue_ms < 10_000, "a turn of a busy machine, not a breaker's half minute"
    assert reply.timings.load_ms == 0, "it was still loaded"
    status = pools.status()
    breaker = status.sessions[0].breaker
    assert (breaker.state, breaker.failures) == (BreakerState.CLOSED, 0)
    (failing,) = (found for key, found in status.failing_models.items() if key.name == model)
    assert failing.breaker.state is BreakerState.OPEN and "ERROR_CODE" in failing.last_error
    states = pool_metrics(pools, {})["circuit_breaker"]["model_states"]
    assert next(found for name, found in states.items() if name.startswith(model))["state"] == "OPEN"
    assert status.n_restarts == 0


async def test_an_item_that_the_graph_cannot_run_on_costs_that_item(pools: Pool) -> None:
    """As often as it comes: the model stays, and the others of its batch are answered."""
    for _ in range(6):
        reply = await embed(pools, "short_table", KNOWN, UNKNOWN, KNOWN)
        first, bad, last = reply.output
        assert bad["error"]["code"] == "ModelFault"
        assert "out of data bounds" in bad["error"]["message"]
        assert np.array_equal(first["embedding"], last["embedding"])
    with pytest.raises(ModelFault, match="out of data bounds"):
        await embed(pools, "short_table", UNKNOWN)
    batch = (embed(pools, "short_table", text) for text in (KNOWN, UNKNOWN, KNOWN, KNOWN))
    replies = await asyncio.gather(*batch, return_exceptions=True)
    assert [type(reply) for reply in replies] == [Reply, ModelFault, Reply, Reply]
    assert not any(key.name == "short_table" for key in pools.status().failing_models)


async def test_a_backend_that_crashes_on_a_model_is_left_for_the_next_and_remembered(pools: Pool) -> None:
    """RoBERTa on WebNN: the engine dies, the lane starts anew, WebAssembly answers, and the reply says so."""
    await embed(pools, "sound", KNOWN, backends=(Backend.WEBNN,))
    (session,) = pools.sessions
    boot = session.lanes[0].boot
    reply = await embed(pools, "roberta", KNOWN, backends=(Backend.WEBNN, Backend.WASM))
    assert reply.backend == Backend.WASM
    (fallback,) = reply.fallbacks
    assert fallback["backend"] == "webnn" and "unreachable" in fallback["reason"]
    assert pools.sessions == [session], "the browser was replaced"
    boots = {boot, session.lanes[0].boot}
    assert len(boots) == 2, "the crashed engine is still there"
    again = await embed(pools, "roberta", KNOWN, backends=(Backend.WEBNN, Backend.WASM))
    assert (again.backend, again.fallbacks, again.timings.load_ms) == (Backend.WASM, reply.fallbacks, 0)
    assert session.lanes[0].boot in boots, "it crashed once more"
    sound = await embed(pools, "sound", KNOWN, backends=(Backend.WEBNN,))
    assert sound.backend == Backend.WEBNN
    assert np.array_equal(again.output["embedding"], sound.output["embedding"])
    assert pools.status().sessions[0].breaker.failures == 0


async def test_where_only_the_backend_that_crashes_was_allowed_it_is_named_at_once(pools: Pool) -> None:
    for _ in range(2):
        with pytest.raises(BackendFault, match=r"webnn failed on the model roberta: .*unreachable"):
            await embed(pools, "roberta", KNOWN, backends=(Backend.WEBNN,))
    assert (await embed(pools, "roberta", KNOWN)).success, "WebAssembly has done nothing wrong"
