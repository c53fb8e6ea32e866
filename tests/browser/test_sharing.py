"""Models of a lane hold what they have in common once, and compute what was computed before no more."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from browser_runtime.contract.families import FAMILIES
from browser_runtime.contract.messages import Reply, Request
from browser_runtime.contract.sharing import LaneSharing
from browser_runtime.contract.vocabulary import Backend, Family, Precision
from browser_runtime.models.files.integrity import describe_file
from browser_runtime.models.manifest import write_manifest
from browser_runtime.models.store import BUILTIN_FOLDER, ModelStore
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from tests.stand_ins.copies import copy_model
from webinfer.bench.sharing_models import make_classifier, make_text_head

pytestmark = pytest.mark.asyncio(loop_scope="module")

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CLIP = BUILTIN_FOLDER / "digits-clip"


@pytest.fixture(scope="module")
def models(settings: RuntimeSettings, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A classifier on CLIP's tower, and another head on the text encoder."""
    store, scratch = ModelStore(settings.models_dir), tmp_path_factory.mktemp("sources")
    clip, bert = store.find("digits-clip"), store.find("sentences-bert")
    assert clip is not None
    assert bert is not None
    make_classifier(clip, DIGITS, "digits-on-clip", scratch, store)
    make_text_head(bert.folder, bert.files, "sentences-bert-cls", "cls_token", scratch, store)


def picture(number: int) -> Any:
    return np.asarray(Image.open(CLIP / f"examples/{number}.png").convert("RGB"))


def sharing_of(pool: Pool) -> LaneSharing:
    return LaneSharing.sum(lane.sharing for session in pool.status().sessions for lane in session.lanes)


async def ask(pool: Pool, model: str, family: Family, item: Any, backend: Backend, **options: Any) -> Reply:
    name = {Family.VISION: "images", Family.TEXT_EMBEDDING: "texts", Family.AUDIO: "sounds"}[family]
    reply = await pool.run(Request(family, model, {name: [item]}, backends=(backend,), options=options))
    assert reply.backend == backend
    return reply


async def test_a_picture_goes_through_the_tower_of_two_models_once(shared_pool: Pool, models: None) -> None:
    backend = Backend.WASM
    clip = await ask(
        shared_pool, "digits-clip", Family.VISION, picture(3), backend, candidate_labels=[*DIGITS]
    )
    before = sharing_of(shared_pool)
    head = await ask(shared_pool, "digits-on-clip", Family.VISION, picture(3), backend)
    after = sharing_of(shared_pool)
    assert head.output["labels"][0]["label"] == "three"
    (shared,) = head.details["shared"]
    assert (shared["model"], shared["graph"], shared["n"]) == ("digits-clip", "vision_model", 1)
    assert shared["run"] == clip.details["run"]
    assert after.results.hits == before.results.hits + 1
    # The new model brought its head and one more use of the tower.
    assert after.graphs.n_parts == before.graphs.n_parts + 1
    assert after.graphs.n_references == before.graphs.n_references + 2
    assert after.graphs.saved_bytes >= before.graphs.saved_bytes + 548_202
    alone = await ask(shared_pool, "digits-on-clip", Family.VISION, picture(3), backend, tensor_sharing=False)
    assert "shared" not in alone.details
    np.testing.assert_array_equal(alone.output["logits"], head.output["logits"])
    assert sharing_of(shared_pool).graphs == after.graphs


async def test_another_picture_and_other_settings_are_computed(shared_pool: Pool, models: None) -> None:
    for number in (5, 8):
        reply = await ask(shared_pool, "digits-clip", Family.VISION, picture(number), Backend.WASM)
        assert "shared" not in reply.details
    again = await ask(shared_pool, "digits-clip", Family.VISION, picture(8), Backend.WASM)
    assert again.details["shared"][0]["run"] == reply.details["run"]
    np.testing.assert_array_equal(again.output["embedding"], reply.output["embedding"])


async def test_a_text_goes_through_one_encoder_for_two_heads(shared_pool: Pool, models: None) -> None:
    text = "A text that two heads read."
    mean = await ask(shared_pool, "sentences-bert", Family.TEXT_EMBEDDING, text, Backend.WASM)
    first = await ask(shared_pool, "sentences-bert-cls", Family.TEXT_EMBEDDING, text, Backend.WASM)
    assert first.details["shared"][0]["model"] == "sentences-bert"
    own = await ask(
        shared_pool, "sentences-bert-cls", Family.TEXT_EMBEDDING, text, Backend.WASM, tensor_sharing=False
    )
    np.testing.assert_array_equal(own.output["embedding"], first.output["embedding"])
    assert not np.allclose(mean.output["embedding"], first.output["embedding"])


async def test_a_graph_is_open_as_long_as_one_model_holds_it(shared_pool: Pool, models: None) -> None:
    (session,) = shared_pool.sessions
    lane = session.lanes[0]
    for model in ("digits-clip", "digits-on-clip"):
        await ask(shared_pool, model, Family.VISION, picture(3), Backend.WASM)
    graphs = lane.sharing.graphs
    (clip,) = (key for key in lane.models.loaded if key.name == "digits-clip" and key.backend is Backend.WASM)
    await lane.unload(clip, 10.0)
    assert lane.sharing.graphs.n_parts == graphs.n_parts - 1, "only the text tower goes"
    assert lane.sharing.graphs.n_references == graphs.n_references - 2
    await lane.shed(10.0)
    reply = await ask(shared_pool, "digits-on-clip", Family.VISION, picture(5), Backend.WASM)
    assert reply.output["labels"][0]["label"] == "five"


@pytest.fixture(scope="module")
def language_models(settings: RuntimeSettings) -> None:
    """numbers-llama under another name, and the bare language model of digits-llava."""
    store = ModelStore(settings.models_dir)
    numbers, llava = store.find("numbers-llama"), store.find("digits-llava")
    assert numbers is not None
    assert llava is not None
    copy_model(numbers, "numbers-again", store)
    packed = [path for path in llava.files if path.startswith("4bit/")]
    small = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]
    decoder = copy_model(llava, "digits-words", store, [*packed, *small])
    config: dict[str, Any] = json.loads((llava.folder / "config.json").read_text())
    (decoder.folder / "config.json").write_text(
        json.dumps(config["text_config"] | {"architectures": ["LlamaForCausalLM"]})
    )
    files = {path: describe_file(decoder.folder / path) for path in decoder.files}
    family = FAMILIES["text_generation"]
    write_manifest(replace(decoder, family=family, files=files, weights=llava.weights, extra={}))


def generate(model: str, text: str, backend: Backend, precision: Precision, **options: Any) -> Request:
    return Request(
        Family.TEXT_GENERATION,
        model,
        {"texts": [text]},
        backends=(backend,),
        precision=precision,
        options={"max_new_tokens": 12, **options},
    )


def bits_of(name: str, store: ModelStore) -> Precision:
    """The first precision of few bits in which the model is there."""
    model = store.find(name)
    assert model is not None
    return next(each for each in model.precisions if "low_bits" in model.graphs(each))


@pytest.mark.parametrize("backend", [Backend.WASM, Backend.WEBGPU])
async def test_models_with_the_same_packed_weights_hold_them_once(
    shared_pool: Pool, language_models: None, backend: Backend
) -> None:
    precision, text = bits_of("numbers-llama", shared_pool.store), "Write 347 in words."
    names = ("numbers-llama", "numbers-again")
    alone = await shared_pool.run(generate(names[0], text, backend, precision, tensor_sharing=False))
    (session,) = shared_pool.sessions
    (lane,) = session.lanes
    for key in list(lane.models.loaded):  # of which a further model could take the place
        await lane.unload(key, 10.0)
    before = lane.sharing.graphs
    together = []
    held = []
    for name in names:
        together.append(await shared_pool.run(generate(name, text, backend, precision)))
        held.append(lane.models.held_bytes)
    tokens = [reply.output["tokens"] for reply in (alone, *together)]
    assert tokens == [tokens[0]] * 3
    assert len(tokens[0]) > 2
    weights = together[0].details["weight_bytes"]
    assert held[0] == held[1], "the second brought no weights"
    after = lane.sharing.graphs
    assert after.n_parts == before.n_parts + 1
    assert after.n_references == before.n_references + 2
    assert after.size_bytes == before.size_bytes + weights
    assert after.saved_bytes == before.saved_bytes + weights
    keys = {
        key.name: key
        for key in lane.models.loaded
        if key.name in names and not key.flags and key.backend is backend and key.precision is precision
    }
    parts = [lane.models.loaded[keys[name]].answer["parts"] for name in names]
    assert [[part["shared"] for part in each] for each in parts] == [[False], [True]]
    assert parts[0][0]["name"] == parts[1][0]["name"]
    await lane.unload(keys["numbers-llama"], 10.0)
    assert lane.sharing.graphs.n_references == after.n_references - 1
    assert lane.sharing.graphs.saved_bytes == before.saved_bytes
    again = await shared_pool.run(generate("numbers-again", text, backend, precision))
    assert again.output["tokens"] == tokens[0]
    await lane.unload(keys["numbers-again"], 10.0)
    assert lane.sharing.graphs == before


async def test_a_llava_and_its_bare_language_model_hold_one_decoder(
    shared_pool: Pool, language_models: None
) -> None:
    backend, precision = Backend.WASM, Precision.BITS_4
    six = np.asarray(Image.open(BUILTIN_FOLDER / "digits-llava/examples/6.png").convert("RGB"))
    about = Request(
        Family.MULTIMODAL,
        "digits-llava",
        {"images": [{"image": six, "texts": ["Which digit is this?"]}]},
        backends=(backend,),
        precision=precision,
    )
    (session,) = shared_pool.sessions
    (lane,) = session.lanes
    alone = await shared_pool.run(generate("digits-words", "six", backend, precision, tensor_sharing=False))
    seen = await shared_pool.run(about)
    before = lane.sharing.graphs
    words = await shared_pool.run(generate("digits-words", "six", backend, precision))
    assert lane.sharing.graphs.n_parts == before.n_parts
    assert lane.sharing.graphs.saved_bytes == before.saved_bytes + words.details["weight_bytes"]
    assert words.output["tokens"] == alone.output["tokens"]
    assert (await shared_pool.run(about)).output["text"] == seen.output["text"] == "six"
