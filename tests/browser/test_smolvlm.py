"""Images in tiles, asked about in pages: transformers' own tokens, from its own SmolVLM in small."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.messages import Reply, Request
from browser_runtime.contract.pieces import PieceMemory
from browser_runtime.contract.vocabulary import Backend, Family, Precision
from browser_runtime.models.hub.settings import HubSettings
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.store import ModelStore
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from tests.browser.engines import ONE_OF_EACH
from tests.stand_ins.hub import serve_hub
from tests.stand_ins.smolvlm import ANSWERS, TOKENS_PER_TILE, draw, write_smolvlm

pytestmark = pytest.mark.asyncio(loop_scope="module")

TILED, WHOLE, PACKED = "tiny-smolvlm", "tiny-smolvlm-whole", "tiny/smolvlm"
GREEDY = {"temperature": 0.0, "max_new_tokens": 12}


@pytest.fixture(scope="module", autouse=True)
def models(settings: RuntimeSettings, tmp_path_factory: pytest.TempPathFactory) -> None:
    home, store = tmp_path_factory.mktemp("smolvlm"), ModelStore(settings.models_dir)
    import_model(write_smolvlm(home / TILED), TILED, store=store)
    import_model(write_smolvlm(home / WHOLE, splits=False, model_type="smolvlm"), WHOLE, store=store)
    write_smolvlm(home / "hub" / PACKED / "main")
    with serve_hub(home / "hub") as hub:
        from_hub = HubSettings(endpoint=hub.address, offline=False, token=None)
        ModelStore(settings.models_dir, from_hub).pull(PACKED, Precision.FP16)


def ask(model: str, items: list[Any], backend: Backend = Backend.WASM, **options: Any) -> Request:
    inputs, chosen = {"images": items}, {**GREEDY, **options}
    return Request(
        Family.MULTIMODAL,
        model,
        inputs,
        backends=(backend,),
        precision=Precision.FP16 if model == PACKED else Precision.FP32,
        options=chosen,
        single=len(items) == 1,
    )


async def check_tokens(pool: Pool, model: str, backend: Backend) -> None:
    """Each chat gives the tokens that transformers gave."""
    rows = [row for row in ANSWERS if row["splits"] is (model != WHOLE)]
    chats = [{"images": [draw(*size) for size in row["images"]], "messages": row["messages"]} for row in rows]
    reply = await pool.run(ask(model, chats, backend))
    assert reply.backend == backend
    for output, row in zip(reply.output, rows, strict=True):
        assert (output["tokens"], output["text"]) == (row["tokens"], row["text"])
        assert output["prompt_tokens"] == len(row["ids"])
        assert output["image_tokens"] == row["n_tiles"] * TOKENS_PER_TILE
    assert reply.details["tokens_per_tile"] == TOKENS_PER_TILE


@pytest.mark.parametrize("model", [TILED, PACKED])
async def test_a_page_gives_the_tokens_of_transformers(shared_pool: Pool, model: str) -> None:
    await check_tokens(shared_pool, model, Backend.WASM)


@ONE_OF_EACH
async def test_webgpu_gives_the_tokens_of_transformers(shared_pool: Pool) -> None:
    await check_tokens(shared_pool, WHOLE, Backend.WEBGPU)


async def test_a_prefix_is_taken_over_up_to_the_first_tile_that_differs(shared_pool: Pool) -> None:
    """Three images of five tiles each: the same ones, and such that differ in the third."""

    async def answer(images: list[Any], text: str) -> dict[str, Any]:
        reply = await shared_pool.run(ask(PACKED, [{"images": images, "texts": [text]}]))
        return dict(reply.output)

    first_two = [draw(47, 61), draw(61, 47)]
    first = await answer([*first_two, draw(50, 50)], "What is it?")
    again = await answer([*first_two, draw(50, 50)], "Where is it?")
    other = await answer([*first_two, 255 - draw(50, 50)], "What is it?")
    assert first["image_tokens"] == other["image_tokens"] == 15 * TOKENS_PER_TILE
    # The first tile of the third image begins behind 74 tokens, the question behind 108.
    assert again["reused_tokens"] > 100
    assert 64 <= other["reused_tokens"] <= 74
    assert other["tokens"] != first["tokens"]


async def test_an_answer_is_streamed_and_one_bad_image_harms_no_other(shared_pool: Pool) -> None:
    row = next(row for row in ANSWERS if row["splits"] and len(row["images"]) == 2)
    chat = {"images": [draw(*size) for size in row["images"]], "messages": row["messages"]}
    pieces = PieceMemory()
    reply = await shared_pool.run(ask(TILED, [chat]), pieces)
    assert reply.output["text"] == row["text"]
    many = {"images": [draw(40, 40)] * 60, "prompt": "<image>" * 60}
    thin = {"image": np.zeros((1, 3000, 3), np.uint8), "texts": ["What is it?"]}
    runs = (shared_pool.run(ask(TILED, [item])) for item in (many, chat, thin))
    refused, answered, short = await asyncio.gather(*runs, return_exceptions=True)
    assert isinstance(refused, BadInput) and "tokens of images" in str(refused)
    assert isinstance(answered, Reply) and answered.output["tokens"] == row["tokens"]
    assert isinstance(short, Reply) and short.output["image_tokens"] == 3 * TOKENS_PER_TILE
