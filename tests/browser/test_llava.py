"""Questions about pictures, answered in pages: transformers' own tokens, on graphs and on packed weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from browser_runtime.contract.messages import Request
from browser_runtime.contract.pieces import PieceMemory
from browser_runtime.contract.vocabulary import Backend, Family, Precision
from browser_runtime.models.store import BUILTIN_FOLDER
from browser_runtime.pool import Pool
from tests.browser.engines import ONE_OF_EACH

pytestmark = pytest.mark.asyncio(loop_scope="module")

STORED = json.loads((Path(__file__).parents[1] / "unit/data/digits_llava.json").read_text())
FOLDER = BUILTIN_FOLDER / "digits-llava"
RUNS = [
    (Backend.WASM, Precision.FP32),
    (Backend.WASM, Precision.BITS_4),
    (Backend.WEBGPU, Precision.BITS_4),
]


def picture(digit: str) -> Any:
    return np.asarray(Image.open(FOLDER / f"examples/{digit}.png").convert("RGB"))


def ask(items: list[Any], backend: Backend, precision: Precision, **options: Any) -> Request:
    return Request(
        Family.MULTIMODAL,
        "digits-llava",
        {"images": items},
        backends=(backend,),
        precision=precision,
        options=options,
        single=len(items) == 1,
    )


async def check_tokens(pool: Pool, backend: Backend, precision: Precision) -> None:
    """Each chat gives the tokens that transformers gave."""
    chats = [
        {"images": [picture(digit) for digit in row["pictures"]], "messages": row["messages"]}
        for row in STORED
    ]
    reply = await pool.run(ask(chats, backend, precision))
    assert reply.backend == backend
    for output, row in zip(reply.output, STORED, strict=True):
        assert (output["tokens"], output["text"]) == (row["tokens"], row["text"])
        assert output["prompt_tokens"] == len(row["ids"])
        assert output["image_tokens"] == 65 * len(row["pictures"])
        assert output["finish_reason"] == "stop"
    assert reply.details["tokens_per_image"] == 65


@pytest.mark.parametrize(("backend", "precision"), RUNS)
async def test_a_page_gives_the_tokens_of_transformers(
    shared_pool: Pool, backend: Backend, precision: Precision
) -> None:
    await check_tokens(shared_pool, backend, precision)


@ONE_OF_EACH
async def test_webgpu_gives_the_tokens_of_transformers(shared_pool: Pool) -> None:
    await check_tokens(shared_pool, Backend.WEBGPU, Precision.FP32)


async def test_a_prefix_is_taken_over_where_its_picture_is_the_same(shared_pool: Pool) -> None:
    """The same words about another picture begin alike in their tokens, and not in what they mean."""
    six = picture("6")
    # One byte makes it another picture, which nobody has shown before.
    other_six = six.copy()
    other_six[0, 0, 0] ^= 1

    async def answer(image: Any, question: str) -> dict[str, Any]:
        asked = [{"image": image, "texts": [question]}]
        reply = await shared_pool.run(ask(asked, Backend.WASM, Precision.BITS_4))
        return dict(reply.output)

    first = await answer(six, "Which digit is this?")
    other = await answer(other_six, "Which digit is this?")
    again = await answer(six, "Is it even?")
    assert (first["text"], other["text"], again["text"]) == ("six", "six", "yes")
    assert other["reused_tokens"] < 5
    assert again["reused_tokens"] >= 65


async def test_a_text_about_a_picture_is_streamed_and_stopped(shared_pool: Pool) -> None:
    pieces = PieceMemory()
    asked = [{"image": picture("4"), "texts": ["Describe the picture."]}]
    request = ask(asked, Backend.WASM, Precision.FP32, stop=["an even"])
    reply = await shared_pool.run(request, pieces)
    assert reply.output["text"] == "A hand-written four, "
    assert reply.output["finish_reason"] == "stop_string"
