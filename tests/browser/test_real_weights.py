"""The true all-MiniLM-L6-v2 in every browser and backend, against sentence-transformers' own vectors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Backend, Family
from browser_runtime.models.store import StoredModel
from browser_runtime.pool import Pool

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFERENCE = json.loads((Path(__file__).parents[1] / "data/minilm_embeddings.json").read_text())
ROWS = sorted(REFERENCE["rows"], key=lambda row: row["tokens"])
# Software WebGPU takes seconds a run beyond these: SwiftShader was measured at over a second for 16 tokens.
MAX_GPU_TOKENS, MAX_GPU_ROWS = 16, 3
MIN_COSINE = 0.9999


def rows_for(backend: Backend) -> list[dict]:
    """Everything on the CPU backends, a few short sentences on software WebGPU."""
    if backend is not Backend.WEBGPU:
        return ROWS
    return [row for row in ROWS if row["tokens"] <= MAX_GPU_TOKENS][:MAX_GPU_ROWS]


def embed(model: StoredModel, texts: list[str], backend: Backend) -> Request:
    return Request(Family.TEXT_EMBEDDING, model.name, {"texts": texts}, backends=(backend,), single=False)


@pytest.mark.parametrize("backend", [Backend.WASM, Backend.WEBNN, Backend.WEBGPU])
async def test_embeddings_are_those_of_sentence_transformers(
    shared_pool: Pool, minilm: StoredModel, backend: Backend
) -> None:
    if not shared_pool.sessions[0].capabilities.can(backend):
        assert backend is Backend.WEBNN, f"{shared_pool.browser} must prove {backend}"
        return
    rows = rows_for(backend)
    found = []
    for row in rows:  # one by one: each in its own shape or bucket
        reply = await shared_pool.run(embed(minilm, [row["text"]], backend))
        assert reply.backend == backend
        assert reply.output[0]["tokens"] == row["tokens"]
        found.append(reply.output[0]["embedding"])
    wanted = np.array([row["embedding"] for row in rows])
    cosines = (np.stack(found) * wanted).sum(axis=1)
    assert cosines.min() >= MIN_COSINE, dict(zip((row["text"][:40] for row in rows), cosines, strict=True))


@pytest.mark.parametrize("backend", [Backend.WASM, Backend.WEBNN])
async def test_a_batch_equals_one_by_one(shared_pool: Pool, minilm: StoredModel, backend: Backend) -> None:
    """Padding and masks change nothing: long and short texts in one batch."""
    if not shared_pool.sessions[0].capabilities.can(backend):
        return
    rows = ROWS[::4]
    reply = await shared_pool.run(embed(minilm, [row["text"] for row in rows], backend))
    found = np.stack([output["embedding"] for output in reply.output])
    wanted = np.array([row["embedding"] for row in rows])
    assert (found * wanted).sum(axis=1).min() >= MIN_COSINE
