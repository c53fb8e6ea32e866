"""Outputs that cannot be trusted: the request's next backend is tried, and what repeats itself counts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from browser_runtime.contract.errors import BadOutput, ModelFault
from browser_runtime.contract.messages import Reply, Request
from browser_runtime.contract.vocabulary import Backend, Browser, Family, Precision
from browser_runtime.models.store import ModelStore
from browser_runtime.pool import Pool
from browser_runtime.session.golden_check import MAX_BAD_RUNS
from browser_runtime.settings import RuntimeSettings
from browser_runtime.simulation.session import SimulatedSession
from tests.conftest import require_browser
from tests.stand_ins import faulty_models as faulty

pytestmark = pytest.mark.asyncio(loop_scope="module")

KNOWN, FAILS_ON_GPUS = "a man eats", f"the girl {faulty.UNDERFLOWS}"
GPU_FIRST = (Backend.WEBGPU, Backend.WASM)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pools(settings: RuntimeSettings) -> AsyncIterator[Pool]:
    """One session, and a model of each kind; the name tells that it outlives a test."""
    require_browser(Browser.EDGE)
    store = ModelStore(settings.models_dir)
    for make in (faulty.underflow, faulty.never_a_number, faulty.all_zeros):
        faulty.plant(store, make.__name__, {Precision.FP32: make()})
    pool = Pool(settings, Browser.EDGE, store=store)
    await pool.open()
    yield pool
    await pool.close()


async def embed(pool: Pool, model: str, *texts: str, backends: tuple[Backend, ...]) -> Reply:
    request = Request(
        Family.TEXT_EMBEDDING, model, {"texts": list(texts)}, backends=backends, single=len(texts) == 1
    )
    reply = await pool.run(request)
    right = await SimulatedSession(Browser.EDGE, "to compare with").run(
        request, await pool.store.provide(model)
    )
    outputs, expected = (each.output if len(texts) > 1 else [each.output] for each in (reply, right))
    for found, output in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(found["embedding"], output["embedding"], atol=1e-5)
    return reply


async def test_an_output_that_is_no_number_is_computed_on_the_next_backend(pools: Pool) -> None:
    usual = await embed(pools, "underflow", KNOWN, KNOWN, backends=GPU_FIRST)
    assert (usual.backend, usual.routing["attempts"]) == (Backend.WEBGPU, [])
    for _ in range(MAX_BAD_RUNS):
        reply = await embed(pools, "underflow", FAILS_ON_GPUS, backends=GPU_FIRST)
        (attempt,) = reply.routing["attempts"]
        assert (attempt["error"], attempt["step"], attempt["backend"]) == (
            "BadOutput",
            "other backend",
            "webgpu",
        )
        assert "NaN" in attempt["message"] and reply.backend == Backend.WASM
    assert pools.dispatch.outcomes.n_failed_attempts["BadOutput", "other backend"] == MAX_BAD_RUNS
    left = await embed(pools, "underflow", FAILS_ON_GPUS, backends=GPU_FIRST)
    assert (left.backend, left.routing["attempts"]) == (Backend.WASM, []), "it was tried in vain once more"
    assert "NaN" in left.fallbacks[0]["reason"]


async def test_a_model_that_gives_no_number_anywhere_is_called_that_when_it_is_loaded(pools: Pool) -> None:
    for backends in (Backend.WASM,), GPU_FIRST:
        with pytest.raises(BadOutput, match="NaN"):
            await embed(pools, "never_a_number", KNOWN, backends=backends)


async def test_embeddings_of_zeros_are_no_answer_and_count_against_their_model(pools: Pool) -> None:
    for _ in range(5):
        with pytest.raises(BadOutput, match=r"the embedding of \d tokens is all zeros"):
            await embed(pools, "all_zeros", KNOWN, backends=(Backend.WASM,))
    with pytest.raises(ModelFault, match=r"5 times in a row.*all zeros"):
        await embed(pools, "all_zeros", KNOWN, backends=(Backend.WASM,))
    assert pools.status().sessions[0].breaker.failures == 0, "the browser has done nothing wrong"
