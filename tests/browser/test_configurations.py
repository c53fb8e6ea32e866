"""Models' own configurations in real pages: pixels, scores and prompts as transformers has them."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Backend, Family
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.store import ModelStore
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from browser_runtime.simulation import reference
from tests.stand_ins import tiny_whisper as tiny
from tests.stand_ins.tiny_models import write_classifier, write_json

pytestmark = pytest.mark.asyncio(loop_scope="module")

# transformers' own values: tests/page/fixtures/make_pixel_values.py.
STORED = json.loads((Path(__file__).parents[1] / "page/fixtures/pixel_values.json").read_text())
IMAGE = np.frombuffer(base64.b64decode(STORED["images"][0]["data"]), np.uint8).reshape(24, 31, 3)
EFFICIENTNET = next(
    case
    for case in STORED["cases"]
    if case["preprocessor"].get("rescale_offset") and "values" in case["outputs"][0]
)
FORCED = [[1, tiny.DE], [2, tiny.TRANSLATE]]
# The time that the whole of such a picture took: 43 s. What a model sees of it takes a few milliseconds.
EXTREME_MS = 15_000


@pytest.fixture(scope="module")
def store(settings: RuntimeSettings, tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    store, home = ModelStore(settings.models_dir), tmp_path_factory.mktemp("configured")
    if store.find("one-label") is None:
        one = write_classifier(home / "one", n_classes=1)
        write_json(one / "preprocessor_config.json", EFFICIENTNET["preprocessor"])
        import_model(one, "one-label", store=store)
        clip = write_classifier(home / "clip")
        write_json(clip / "preprocessor_config.json", {"image_processor_type": "CLIPImageProcessor"})
        import_model(clip, "shortest-edge", store=store)
        whisper = tiny.write_whisper(home / "whisper")
        generation = json.loads((whisper / "generation_config.json").read_text())
        write_json(whisper / "generation_config.json", generation | {"forced_decoder_ids": FORCED})
        import_model(whisper, "forced-ids", store=store)
        import_model(tiny.write_whisper(home / "timed", stamps=101), "timed", store=store)
    return store


def look(name: str, image: np.ndarray, **options: Any) -> Request:
    return Request(Family.VISION, name, {"images": [image]}, (Backend.WASM,), options=options)


async def test_one_label_is_a_sigmoid_of_what_efficientnet_sees(shared_pool: Pool, store: ModelStore) -> None:
    output = (await shared_pool.run(look("one-label", IMAGE))).output
    values = np.frombuffer(base64.b64decode(EFFICIENTNET["outputs"][0]["values"]), np.float32).reshape(3, -1)
    logit = float(values.mean(axis=1) @ np.arange(3) / 10)  # the stand-in weighs the image's mean colour
    assert output["logits"][0] == pytest.approx(logit, abs=1e-5)
    assert output["labels"][0]["score"] == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-6)
    raw = (await shared_pool.run(look("one-label", IMAGE, function_to_apply="none"))).output
    assert raw["labels"][0]["score"] == pytest.approx(logit, abs=1e-5)


async def test_no_picture_holds_a_lane_longer_than_another(shared_pool: Pool, store: ModelStore) -> None:
    wide = np.random.default_rng(7).integers(0, 256, (2, 30_000, 3)).astype(np.uint8)
    for image in (wide, np.ascontiguousarray(wide.transpose(1, 0, 2))):
        reply = await shared_pool.run(look("shortest-edge", image))
        assert reply.timings.preprocess_ms < EXTREME_MS
        expected = reference(store.ensure("shortest-edge"), Family.VISION, [image])[0]
        np.testing.assert_allclose(reply.output["logits"], expected["logits"], atol=1e-4)


async def test_forced_ids_languages_and_lengths_reach_the_decoder(
    shared_pool: Pool, store: ModelStore
) -> None:
    model = store.ensure("forced-ids")
    sound = (np.random.default_rng(5).standard_normal(8000) * 0.1).astype(np.float32)
    answers = []
    for options in (
        {},
        {"language": "German"},
        {"task": "transcribe"},
        {"language": "en", "max_new_tokens": 3},
    ):
        request = Request(Family.AUDIO, model.name, {"sounds": [sound]}, (Backend.WASM,), options=options)
        reply = await shared_pool.run(request)
        assert reply.output["tokens"] == reference(model, Family.AUDIO, [sound], options)[0]["tokens"]
        answers.append(tuple(reply.output["tokens"]))
    assert len(set(answers)) > 1 and len(answers[-1]) <= 3
    with pytest.raises(BadInput, match=r"options\.language is 'klingon'"):
        await shared_pool.run(
            Request(Family.AUDIO, model.name, {"sounds": [sound]}, options={"language": "klingon"})
        )


async def test_segments_of_a_long_sound_are_told_with_their_times(
    shared_pool: Pool, store: ModelStore
) -> None:
    """Stamps and joining are held to transformers in tests/unit/texts/test_segments.py."""
    model = store.ensure("timed")
    louder = np.linspace(0.001, 0.1, 40 * 16_000)
    sound = (np.random.default_rng(1).standard_normal(len(louder)) * louder).astype(np.float32)
    options = {"language": "en", "max_new_tokens": 14, "return_timestamps": True}
    reply = await shared_pool.run(
        Request(Family.AUDIO, model.name, {"sounds": [sound]}, (Backend.WASM,), options=options)
    )
    (expected,) = reference(model, Family.AUDIO, [sound], options)
    assert reply.output == expected
    assert len(reply.output["chunks"]) > 1 and reply.output["chunks"][0]["timestamp"][1] is not None
    assert reply.output["text"] == "".join(chunk["text"] for chunk in reply.output["chunks"]).strip()


async def test_a_long_sound_that_is_given_up_frees_its_lane(shared_pool: Pool) -> None:
    noise = (np.random.default_rng(1).standard_normal(120 * 16_000) * 0.1).astype(np.float32)

    def hear(samples: np.ndarray) -> Request:
        return Request(Family.AUDIO, "tones-whisper", {"sounds": [samples]}, (Backend.WASM,))

    await shared_pool.run(hear(noise[:16_000]))
    session, began_s = shared_pool.sessions[0], computed_s(shared_pool)
    await shared_pool.run(hear(noise))
    whole_s = computed_s(shared_pool) - began_s
    began_s = computed_s(shared_pool)
    given_up = asyncio.create_task(shared_pool.run(hear(noise)))
    while computed_s(shared_pool) - began_s < whole_s / 8:  # noqa: ASYNC110  # the page tells nobody
        await asyncio.sleep(0.01)
    given_up.cancel()
    began_s = computed_s(shared_pool)
    await shared_pool.run(hear(noise[:16_000]))
    assert computed_s(shared_pool) - began_s < whole_s / 2
    assert shared_pool.sessions == [session]


def computed_s(pool: Pool) -> float:
    """The processor time that the browser has taken, which no load beside it changes."""
    launched = pool.sessions[0]._launched
    assert launched is not None
    family = psutil.Process(launched.leader).children(recursive=True)
    return sum(times.user + times.system for times in (each.cpu_times() for each in family))
