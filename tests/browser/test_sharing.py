"""Models of a lane hold what they have in common once, and compute what was computed before no more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from browser_runtime.contract.messages import Reply, Request
from browser_runtime.contract.sharing import LaneSharing
from browser_runtime.contract.vocabulary import Backend, Family
from browser_runtime.models.store import BUILTIN_FOLDER, ModelStore
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from webinfer.bench.sharing_models import make_classifier, make_text_head

pytestmark = pytest.mark.asyncio(loop_scope="module")

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CLIP = BUILTIN_FOLDER / "digits-clip"
WHISPER = BUILTIN_FOLDER / "tones-whisper"


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


def spoken() -> Any:
    return soundfile.read(WHISPER / "examples/spoken-8.flac", dtype="float32")[0]


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


@pytest.mark.parametrize("backend", [Backend.WASM, Backend.WEBGPU])
async def test_a_sound_is_encoded_once_and_its_result_stays_until_it_is_shed(
    shared_pool: Pool, models: None, backend: Backend
) -> None:
    sound = spoken()
    replies = [await ask(shared_pool, "tones-whisper", Family.AUDIO, sound, backend) for _ in range(2)]
    assert [reply.details.get("shared", [{}])[0].get("graph") for reply in replies] == [None, "encoder_model"]
    assert replies[0].output["tokens"] == replies[1].output["tokens"]
    (session,) = shared_pool.sessions
    held = sharing_of(shared_pool).results
    assert held.n_references == 0
    assert sum([await lane.shed(10.0) for lane in session.lanes]) == held.size_bytes
    assert sharing_of(shared_pool).results.size_bytes == 0
    fresh = await ask(shared_pool, "tones-whisper", Family.AUDIO, sound, backend)
    assert "shared" not in fresh.details
    assert fresh.output["tokens"] == replies[0].output["tokens"]


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
