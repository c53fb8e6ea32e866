"""Sounds and texts compared in pages: as transformers does it, on every backend that a browser has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Backend, Family
from browser_runtime.models.store import BUILTIN_FOLDER
from browser_runtime.pool import Pool
from tests.browser.engines import ONE_OF_EACH
from tests.browser.hearing import hear_both_ways

pytestmark = pytest.mark.asyncio(loop_scope="module")

STORED = json.loads((Path(__file__).parents[1] / "unit/data/digits_clap.json").read_text())
FOLDER = BUILTIN_FOLDER / "digits-clap"
PHRASES: list[str] = STORED["phrases"]
SOUNDS = [
    {"audio": soundfile.read(FOLDER / path, dtype="float32")[0], "rate_hz": 48_000}
    for path in STORED["sounds"]
]


def compare(items: list[Any], backend: Backend, **options: Any) -> Request:
    return Request(
        Family.AUDIO, "digits-clap", {"sounds": items}, backends=(backend,), options=options, single=False
    )


async def check_outputs(pool: Pool, backend: Backend) -> None:
    """Texts, sounds and both give the numbers that transformers gave."""
    both = [{"audio": sound, "texts": PHRASES} for sound in SOUNDS]
    alone = [{"texts": [phrase]} for phrase in PHRASES]
    reply = await pool.run(compare([*both, *alone, *SOUNDS], backend))
    assert (reply.success, reply.backend, reply.warnings) == (True, backend, ())
    outputs = list(reply.output)
    for output, logits, scores in zip(
        outputs, STORED["logits_per_audio"], STORED["probabilities"], strict=False
    ):
        np.testing.assert_allclose(output["logits"], logits, atol=1e-2)
        by_label = {each["label"]: each["score"] for each in output["labels"]}
        np.testing.assert_allclose([by_label[phrase] for phrase in PHRASES], scores, atol=5e-3)
    texts = [output["embedding"] for output in outputs[3:-3]]
    np.testing.assert_allclose(texts, STORED["text_features"], atol=1e-3)
    heard = [output["embedding"] for output in outputs[-3:]]
    np.testing.assert_allclose(heard, STORED["audio_features"], atol=1e-3)


async def test_a_page_gives_what_transformers_gives(shared_pool: Pool) -> None:
    await check_outputs(shared_pool, Backend.WASM)


@ONE_OF_EACH
async def test_transformers_labels_through_the_shader(shared_pool: Pool) -> None:
    """Its log-mel picture is not Whisper's: decibels, frames in rows, filters of its own, sounds repeated."""
    items = [{"audio": sound, "texts": PHRASES} for sound in SOUNDS[:2]]
    by_shader, by_library = await hear_both_ways(shared_pool, "digits-clap", items)
    for shaded, usual, logits in zip(
        by_shader.output, by_library.output, STORED["logits_per_audio"][:2], strict=True
    ):
        assert [each["label"] for each in shaded["labels"]] == [each["label"] for each in usual["labels"]]
        assert shaded["labels"][0]["label"] == PHRASES[int(np.argmax(logits))]
        np.testing.assert_allclose(shaded["logits"], logits, atol=1e-2)


@ONE_OF_EACH
async def test_webgpu_gives_what_transformers_gives(shared_pool: Pool) -> None:
    await check_outputs(shared_pool, Backend.WEBGPU)


async def test_labels_of_a_request_for_a_long_sound(shared_pool: Pool) -> None:
    """Seconds of silence around a digit: the model hears the middle, and the reply says so."""
    silence = np.zeros(2 * 48_000, np.float32)
    longer = np.concatenate([silence, SOUNDS[2]["audio"], silence])
    request = compare(
        [{"audio": longer, "rate_hz": 48_000}], Backend.WASM, candidate_labels=["two", "nine"], top_k=1
    )
    reply = await shared_pool.run(request)
    ((output,), warnings) = reply.output, reply.warnings
    assert [each["label"] for each in output["labels"]] == ["two"]
    assert output["truncated"] and any("its middle 2 s were heard" in warning for warning in warnings)
