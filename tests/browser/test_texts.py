"""Texts in real pages: tokens are Python's, and what follows the graph is as sentence-transformers has it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Backend, Family
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.store import ModelStore
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from browser_runtime.simulation import reference
from tests.stand_ins.scripts import TEXTS as SCRIPTS
from tests.stand_ins.sentence_models import TEXTS, write_variant
from tests.stand_ins.tokenizers_of_kinds import write_model

pytestmark = pytest.mark.asyncio(loop_scope="module")

DATA = Path(__file__).parents[1] / "data"
EXPECTED = json.loads((DATA / "sentence_modules.json").read_text())["answers"]
IDS = json.loads((DATA / "token_ids.json").read_text())["ids"]
# Between them: every kind of module, both ways to join modes, a prompt that is left out.
VARIANTS = ("three older modes", "dense", "residual", "layer norm", "prompt left out, weighted", "truncated")
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def models(settings: RuntimeSettings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variants' names in the store."""
    store, home = ModelStore(settings.models_dir), tmp_path_factory.mktemp("variants")
    names = {variant: f"variant-{number}" for number, variant in enumerate(("mean", *VARIANTS))}
    for variant, name in names.items():
        import_model(write_variant(home / name, variant), name, store=store)
    return names


def embed(name: str, options: dict, backend: Backend = Backend.WASM) -> Request:
    texts = {"texts": list(TEXTS)}
    return Request(Family.TEXT_EMBEDDING, name, texts, (backend,), options=options, single=False)


@pytest.mark.parametrize("variant", VARIANTS)
async def test_modules_give_what_sentence_transformers_gives(
    shared_pool: Pool, models: dict[str, str], variant: str
) -> None:
    """All texts in one padded batch; the numbers come from texts by themselves."""
    for call in EXPECTED[variant]:
        reply = await shared_pool.run(embed(models[variant], call["options"]))
        found = np.stack([output["embedding"] for output in reply.output])
        np.testing.assert_allclose(found, call["embeddings"], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("kind", ["WordPiece, uncased", "Unigram"])
async def test_texts_in_many_scripts_reach_the_graph_as_transformers_tokenises_them(
    shared_pool: Pool, settings: RuntimeSettings, tmp_path_factory: pytest.TempPathFactory, kind: str
) -> None:
    """Embeddings like the simulation's show that it is these ids, not only as many."""
    store, name = ModelStore(settings.models_dir), f"kind-{kind[:4].lower()}"
    model = store.find(name) or import_model(
        write_model(tmp_path_factory.mktemp("kind"), kind), name, store=store
    )
    request = Request(
        Family.TEXT_EMBEDDING, name, {"texts": list(SCRIPTS.values())}, (Backend.WASM,), single=False
    )
    reply = await shared_pool.run(request)
    assert reply.success
    wanted = [len(IDS[kind][text]) for text in SCRIPTS]
    assert [output["tokens"] for output in reply.output] == wanted
    simulated = reference(model, Family.TEXT_EMBEDDING, list(SCRIPTS.values()))
    np.testing.assert_allclose(
        np.stack([output["embedding"] for output in reply.output]),
        np.stack([output["embedding"] for output in simulated]),
        rtol=0,
        atol=TOLERANCE,
    )


async def test_options_and_a_text_that_is_none(shared_pool: Pool, models: dict[str, str]) -> None:
    for call in EXPECTED["mean"]:
        reply = await shared_pool.run(embed(models["mean"], call["options"]))
        found = np.stack([output["embedding"] for output in reply.output])
        np.testing.assert_allclose(found, call["embeddings"], rtol=0, atol=TOLERANCE)
    texts = {"texts": ["a man", "half \ud83d"]}
    reply = await shared_pool.run(Request(Family.TEXT_EMBEDDING, models["mean"], texts, single=False))
    assert reply.output[0]["tokens"] == 4
    assert reply.output[1]["error"]["args"][0] == "texts[1]"
    assert reply.details["modules"] == ["pooling", "normalize"]
    assert reply.timings.preprocess_ms > 0


@pytest.mark.parametrize("backend", [Backend.WEBGPU, Backend.WEBNN])
async def test_a_padded_batch_gives_the_same_on_other_backends(
    shared_pool: Pool, models: dict[str, str], backend: Backend
) -> None:
    if not shared_pool.sessions[0].capabilities.can(backend):
        assert backend is Backend.WEBNN, f"{shared_pool.browser} must prove {backend}"
        return
    (call,) = EXPECTED["dense"]
    reply = await shared_pool.run(embed(models["dense"], call["options"], backend))
    assert reply.backend == backend
    found = np.stack([output["embedding"] for output in reply.output])
    np.testing.assert_allclose(found, call["embeddings"], rtol=0, atol=1e-4)
