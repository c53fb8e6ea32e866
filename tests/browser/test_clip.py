"""Images and texts compared in pages: as transformers does it, on every backend that a browser has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Backend, Family
from browser_runtime.models.store import BUILTIN_FOLDER
from browser_runtime.pool import Pool
from tests.browser.engines import ONE_OF_EACH

pytestmark = pytest.mark.asyncio(loop_scope="module")

STORED = json.loads((Path(__file__).parents[1] / "unit/data/digits_clip.json").read_text())
FOLDER = BUILTIN_FOLDER / "digits-clip"
PHRASES: list[str] = STORED["phrases"]


def compare(items: list[Any], backend: Backend, **options: Any) -> Request:
    return Request(
        Family.VISION,
        "digits-clip",
        {"images": items},
        backends=(backend,),
        options=options,
        single=False,
    )


async def outputs_of(pool: Pool, request: Request) -> list[dict[str, Any]]:
    reply = await pool.run(request)
    assert reply.backend == request.backends[0]
    return list(reply.output)


async def check_outputs(pool: Pool, backend: Backend) -> None:
    """Texts, images and both give the numbers that transformers gave."""
    images = [np.asarray(Image.open(FOLDER / path).convert("RGB")) for path in STORED["images"]]
    both = [{"image": image, "texts": PHRASES} for image in images]
    alone = [{"texts": [phrase]} for phrase in PHRASES]
    outputs = await outputs_of(pool, compare([*both, *alone, *images], backend))
    for output, logits, scores in zip(
        outputs, STORED["logits_per_image"], STORED["probabilities"], strict=False
    ):
        np.testing.assert_allclose(output["logits"], logits, atol=1e-2)
        by_label = {each["label"]: each["score"] for each in output["labels"]}
        np.testing.assert_allclose([by_label[phrase] for phrase in PHRASES], scores, atol=5e-3)
    texts = [output["embedding"] for output in outputs[3:-3]]
    np.testing.assert_allclose(texts, STORED["text_features"], atol=1e-3)
    shown = [output["embedding"] for output in outputs[-3:]]
    np.testing.assert_allclose(shown, np.load(FOLDER / "examples/embeddings.npy"), atol=2e-3)


async def test_a_page_gives_what_transformers_gives(shared_pool: Pool) -> None:
    await check_outputs(shared_pool, Backend.WASM)


@ONE_OF_EACH
async def test_webgpu_gives_what_transformers_gives(shared_pool: Pool) -> None:
    await check_outputs(shared_pool, Backend.WEBGPU)


async def test_labels_of_a_request_and_its_own_choices(shared_pool: Pool) -> None:
    images = [np.asarray(Image.open(FOLDER / path).convert("RGB")) for path in STORED["images"]]
    request = compare(
        images, Backend.WASM, candidate_labels=["three", "five", "eight"], top_k=1, normalize=True
    )
    outputs = await outputs_of(shared_pool, request)
    assert [output["labels"][0]["label"] for output in outputs] == ["three", "eight", "five"]
    assert all(len(output["labels"]) == 1 for output in outputs)
    assert all(abs(np.linalg.norm(output["embedding"]) - 1) < 1e-5 for output in outputs)
