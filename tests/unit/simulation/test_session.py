"""The simulated session: right answers, marked as what they are, in the reply and in the log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Backend, Browser, Family, Precision
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.manifest import StoredModel
from browser_runtime.models.store import ModelStore
from browser_runtime.simulation import reference
from browser_runtime.simulation.runners import OpenModels
from browser_runtime.simulation.session import SimulatedSession
from tests.stand_ins.tiny_models import write_bert, write_classifier

WHY = "no Chrome on this machine"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    folder: Path = tmp_path_factory.mktemp("simulated")
    store = ModelStore(folder / "models")
    import_model(write_bert(folder / "bert"), "tiny-bert", store=store)
    import_model(write_classifier(folder / "vit"), "tiny-vit", store=store)
    return store


@pytest.fixture
def model(store: ModelStore) -> StoredModel:
    return store.ensure("tiny-bert")


async def test_a_reply_says_what_it_is(model: StoredModel) -> None:
    request = Request(
        Family.TEXT_EMBEDDING, model.name, {"texts": ["a man eats"]}, (Backend.WEBGPU,), notes=("cut",)
    )
    with capture_logs() as logs:
        reply = await SimulatedSession(Browser.CHROME, WHY).run(request, model)
    assert (reply.success, reply.is_simulation, reply.is_real_hardware) == (True, True, False)
    assert (reply.backend, reply.platform, reply.browser) == ("simulation", "simulation", "chrome")
    assert any(WHY in warning for warning in reply.warnings) and "cut" in reply.warnings
    assert reply.fallbacks == ({"backend": "webgpu", "reason": WHY},)
    assert reply.kernel.startswith("onnxruntime ")
    assert reply.timings.total_ms >= reply.timings.compute_ms > 0
    assert reply.model_revision == model.revision
    assert reply.details["modules"] == ["pooling", "normalize"]
    assert [entry["log_level"] for entry in logs] == ["warning"]
    expected = reference(model, Family.TEXT_EMBEDDING, ["a man eats"])[0]
    np.testing.assert_array_equal(reply.output["embedding"], expected["embedding"])


async def test_one_bad_item_fails_alone(model: StoredModel) -> None:
    request = Request(Family.TEXT_EMBEDDING, model.name, {"texts": ["a man", 3]}, single=False)
    reply = await SimulatedSession(Browser.EDGE, WHY).run(request, model)
    assert not reply.success
    assert reply.output[0]["tokens"] == 4
    assert reply.output[1]["error"]["code"] == "BadInput"
    assert reply.output[1]["error"]["args"] == ["texts[1]", "of type int", "a text"]


async def test_a_single_bad_item_is_raised(model: StoredModel) -> None:
    request = Request(Family.TEXT_EMBEDDING, model.name, {"texts": [None]})
    with pytest.raises(BadInput, match=r"texts\[0\] is of type NoneType, but must be a text"):
        await SimulatedSession(Browser.EDGE, WHY).run(request, model)


async def test_a_model_of_another_family_is_refused(store: ModelStore) -> None:
    request = Request(Family.TEXT_EMBEDDING, "tiny-vit", {"texts": ["a"]})
    words = "'tiny-vit', a model of vision, but must be a model of text_embedding"
    with pytest.raises(BadInput, match=words):
        await SimulatedSession(Browser.EDGE, WHY).run(request, store.ensure("tiny-vit"))


async def test_a_model_is_opened_once(model: StoredModel) -> None:
    session = SimulatedSession(Browser.FIREFOX, WHY)
    request = Request(Family.TEXT_EMBEDDING, model.name, {"texts": ["a"]})
    first, second = [await session.run(request, model) for _ in range(2)]
    assert first.timings.load_ms > 0
    assert second.timings.load_ms == 0


def test_the_least_recently_used_model_is_closed(store: ModelStore) -> None:
    models = OpenModels(limit=1)
    bert, vit = store.ensure("tiny-bert"), store.ensure("tiny-vit")
    first, _ = models.take(bert, Precision.FP32)
    assert models.take(bert, Precision.FP32)[0] is first
    models.take(vit, Precision.FP32)
    assert models.take(bert, Precision.FP32)[0] is not first


def test_a_text_is_cut_to_what_the_model_takes(model: StoredModel) -> None:
    short, long = reference(model, Family.TEXT_EMBEDDING, ["man " * 14, "man " * 15])
    assert (short["tokens"], short["truncated"]) == (16, False)
    assert (long["tokens"], long["truncated"]) == (16, True)


def test_a_precision_the_model_lacks_is_named(model: StoredModel) -> None:
    with pytest.raises(BadInput, match="precision is 'fp16'"):
        reference(model, Family.TEXT_EMBEDDING, ["a"], precision=Precision.FP16)


async def test_flags_that_only_a_page_obeys_are_told_as_not_done(model: StoredModel) -> None:
    request = Request(
        Family.TEXT_EMBEDDING, model.name, {"texts": ["a"]}, options={"compute_shaders": True}, synthetic=True
    )
    reply = await SimulatedSession(Browser.FIREFOX, WHY).run(request, model)
    assert reply.compute_shader_optimized is False
    assert reply.warnings[1:] == (
        "the input was generated from a bare shape",
        "compute_shaders was asked for and not done: only audio and clap models have it",
    )


async def test_generated_text_ends_and_is_told_as_in_a_browser(tmp_path: Path) -> None:
    model = ModelStore(tmp_path).ensure("numbers-llama", Precision.BITS_4)
    chat = [{"role": "user", "content": "Write 347 in words."}]
    asked = Request(Family.TEXT_GENERATION, model.name, {"prompts": [chat]}, precision=Precision.BITS_4)
    session = SimulatedSession(Browser.CHROME, WHY)
    whole = (await session.run(replace(asked, drawn_seed=5), model)).output
    stopped = await session.run(replace(asked, options={"stop": "forty"}), model)
    assert whole["text"] == "three hundred forty-seven"
    assert whole["finish_reason"] == "stop"
    assert whole["generated_tokens"] == len(whole["tokens"])
    assert "finish" not in whole
    assert stopped.output["text"] == "three hundred "
    assert stopped.output["finish_reason"] == "stop_string"
    assert stopped.output["generated_tokens"] < whole["generated_tokens"]
