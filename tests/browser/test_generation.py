"""Text that real pages generate: the tokens of the NumPy twin, streamed, stopped, many at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from browser_runtime.contract.errors import BadInput, Unsupported
from browser_runtime.contract.generating_families import TEXT_GENERATION
from browser_runtime.contract.messages import Request
from browser_runtime.contract.pieces import Piece, PieceMemory
from browser_runtime.contract.vocabulary import Backend, Family, Precision
from browser_runtime.low_bits.model_file import PackedModel
from browser_runtime.models.store import ModelStore
from browser_runtime.pool import Pool
from browser_runtime.simulation import reference
from webinfer.bench.quality.backends import count_same
from webinfer.bench.quality.original import Original
from webinfer.bench.quality.page import PageModel
from webinfer.bench.quality.texts import read_questions

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "numbers-llama"
ANSWERS = {
    "Write 347 in words.": "three hundred forty-seven",
    "What is 48 + 27?": "75",
    "Which number follows 418?": "419",
}
SAMPLED = {"temperature": 1.5, "top_k": 40, "top_p": 0.95, "repetition_penalty": 1.1, "seed": 3}


def ask(*prompts: Any, precision: Precision = TEXT_GENERATION.precision, **options: Any) -> Request:
    options = {"max_new_tokens": 40, "seed": 1} | options
    return Request(
        Family.TEXT_GENERATION,
        MODEL,
        {"prompts": list(prompts)},
        precision=precision,
        options=options,
        single=len(prompts) == 1,
    )


def chat(question: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}]


def expected(prompts: list[Any], precision: Precision, options: dict[str, Any]) -> list[dict[str, Any]]:
    """The NumPy twin's own answers."""
    model = ModelStore().find(MODEL)
    assert model is not None
    return reference(model, Family.TEXT_GENERATION, prompts, options, precision)


@pytest.mark.parametrize("precision", [Precision.BITS_2, Precision.BITS_3, Precision.BITS_4])
async def test_each_precision_answers_as_it_was_taught(shared_pool: Pool, precision: Precision) -> None:
    prompts = [chat(question) for question in ANSWERS]
    reply = await shared_pool.run(ask(*prompts, precision=precision))
    assert [output["text"] for output in reply.output] == list(ANSWERS.values())
    twin = expected(prompts, precision, {"max_new_tokens": 40, "seed": 1})
    assert [output["tokens"] for output in reply.output] == [output["tokens"] for output in twin]
    assert {output["finish_reason"] for output in reply.output} == {"stop"}
    assert (reply.backend, reply.precision, reply.fallbacks) == (Backend.WASM, precision, ())
    assert int(precision[0]) in reply.details["weight_bits"] and reply.details["ms_per_token"] > 0


async def test_chance_is_the_twin_s_too(shared_pool: Pool) -> None:
    options = {**SAMPLED, "max_new_tokens": 30}
    prompts = ["Which", "Write 5 in"]
    reply = await shared_pool.run(ask(*prompts, **options))
    twin = expected(prompts, TEXT_GENERATION.precision, options)
    assert [output["tokens"] for output in reply.output] == [output["tokens"] for output in twin]


async def test_the_cache_has_the_bits_that_are_asked_for(shared_pool: Pool) -> None:
    reply = await shared_pool.run(ask(chat("Write 347 in words."), kv_cache="k3v2"))
    assert reply.details["kv_bits"] == [3, 2]
    assert reply.output["text"] == "three hundred forty-seven"


async def test_many_prompts_share_a_lane_while_another_family_goes_on(shared_pool: Pool) -> None:
    sums = [shared_pool.run(ask(chat(f"What is {n} + 27?"))) for n in range(20, 32)]
    image = np.zeros((28, 28, 3), np.uint8)
    other = Request(Family.VISION, "digits-vit", {"images": [image]}, backends=(Backend.WASM,))
    *replies, picture = await asyncio.gather(*sums, shared_pool.run(other))
    assert [reply.output["text"] for reply in replies] == [str(n + 27) for n in range(20, 32)]
    assert picture.output["labels"]


async def test_the_text_ends_before_a_stop_text(shared_pool: Pool) -> None:
    reply = await shared_pool.run(ask(chat("Write 347 in words."), stop=["hundred"]))
    assert (reply.output["text"], reply.output["finish_reason"]) == ("three ", "stop_string")


async def test_as_many_tokens_as_are_asked_for(shared_pool: Pool) -> None:
    reply = await shared_pool.run(ask(chat("Write 347 in words."), max_new_tokens=2))
    assert (reply.output["generated_tokens"], reply.output["finish_reason"]) == (2, "length")
    assert reply.output["text"] == "three hundred"


class Closing(PieceMemory):
    """Reads a few pieces and then wants no more."""

    def __init__(self) -> None:
        super().__init__()
        self.enough = asyncio.Event()

    def put(self, piece: Piece) -> None:
        super().put(piece)
        self.enough.set()


async def test_who_goes_away_stops_the_page_and_leaves_no_memory(shared_pool: Pool) -> None:
    """At a temperature that never stops by itself, 200 tokens a time."""
    held: set[int] = set()
    for _ in range(10):
        sink = Closing()
        endless = ask("Write", temperature=5.0, max_new_tokens=200, repetition_penalty=10.0)
        running = asyncio.create_task(shared_pool.run(endless, sink))
        await sink.enough.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        reply = await shared_pool.run(ask(chat("What is 48 + 27?")))
        assert reply.output["text"] == "75"
        held.add(reply.details["memory_bytes"])
    assert len(held) == 1, "the engine's memory is laid out once"


@pytest.mark.parametrize(
    ("prompt", "options", "error", "words"),
    [
        ("Write " * 400, {}, BadInput, "at most"),
        (chat("x"), {"kv_cache": "k5v2"}, BadInput, "kv_cache"),
    ],
)
async def test_what_cannot_be_done_is_named(
    shared_pool: Pool, prompt: Any, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        await shared_pool.run(ask(prompt, **options))


async def test_webgpu_gives_the_same_tokens(shared_pool: Pool) -> None:
    if not shared_pool.sessions[0].capabilities.can(Backend.WEBGPU):
        return
    request = ask(*map(chat, ANSWERS), precision=Precision.BITS_2)
    reply = await shared_pool.run(replace(request, backends=(Backend.WEBGPU,)))
    assert [output["text"] for output in reply.output] == list(ANSWERS.values())
    assert reply.backend == Backend.WEBGPU and reply.kernel.startswith("low_bits webgpu")
    assert reply.details["tokens_per_readback"] >= 8
    assert reply.details["measured"], "the quickest of the variants was found by measuring"


async def test_webgpu_and_webassembly_choose_the_same_hundred_tokens(shared_pool: Pool) -> None:
    """`webinfer bench quality --backends` counts 2,000 of them likewise."""
    if not shared_pool.sessions[0].capabilities.can(Backend.WEBGPU):
        return
    prompts = [chat(question.text) for question in read_questions(5)]
    found: dict[Backend, list[list[int]]] = {}
    for backend in (Backend.WASM, Backend.WEBGPU):
        request = replace(ask(*prompts, precision=Precision.BITS_4), backends=(backend,))
        found[backend] = [output["tokens"] for output in (await shared_pool.run(request)).output]
    pairs = list(zip(found[Backend.WASM], found[Backend.WEBGPU], strict=True))
    n_tokens = sum(len(right) for right, _ in pairs)
    assert n_tokens >= 100
    assert sum(count_same(*pair) for pair in pairs) >= 0.99 * n_tokens


CHANCES = {
    "all": SAMPLED,
    "penalty": {"temperature": 0, "repetition_penalty": 1.3},
}


@pytest.mark.parametrize("options", CHANCES.values(), ids=CHANCES)
async def test_what_the_adapter_draws_is_what_the_page_draws_from_its_logits(
    shared_pool: Pool, options: dict[str, Any]
) -> None:
    """Up to eight tokens for each reading back, then one by one, where the page chooses each itself."""
    if not shared_pool.sessions[0].capabilities.can(Backend.WEBGPU):
        return
    n_tokens = 10
    # Two requests in one, as no training shows them: it goes on where an answer would end.
    prompt = "Write 123 in words. Write 456 in words."

    async def run(earlier: list[int], most: int) -> list[int]:
        request = replace(ask(prompt, **options, max_new_tokens=most), backends=(Backend.WEBGPU,))
        reply = await shared_pool.run(request, PieceMemory(earlier))
        assert reply.details["tokens_per_readback"] >= 8
        tokens: list[int] = reply.output["tokens"]
        return tokens

    together = await run([], n_tokens)
    one_by_one: list[int] = []
    while len(one_by_one) < len(together):
        one_by_one = await run(one_by_one, len(one_by_one) + 1)
    assert together == one_by_one
    assert len(together) > 8


async def test_webgpu_draws_the_tokens_that_webassembly_draws(shared_pool: Pool) -> None:
    """As far as their logits are the same: an activation of 8 bits that rounds the other way moves them."""
    if not shared_pool.sessions[0].capabilities.can(Backend.WEBGPU):
        return
    prompts = [chat(question.text) for question in read_questions(5)]
    found: dict[Backend, list[list[int]]] = {}
    for backend in (Backend.WASM, Backend.WEBGPU):
        request = ask(*prompts, precision=Precision.BITS_4, temperature=0.7, top_p=0.95, seed=5)
        reply = await shared_pool.run(replace(request, backends=(backend,)))
        found[backend] = [output["tokens"] for output in reply.output]
    pairs = list(zip(found[Backend.WASM], found[Backend.WEBGPU], strict=True))
    n_tokens = sum(len(right) for right, _ in pairs)
    assert n_tokens >= 100
    assert sum(count_same(*pair) for pair in pairs) >= 0.95 * n_tokens


async def test_kernels_are_measured_once_for_an_adapter_and_a_build(shared_pool: Pool) -> None:
    precisions = [p for p in TEXT_GENERATION.precisions if p.endswith("bit")][:2]
    replies = [await shared_pool.run(ask("Write 5", precision=p)) for p in precisions]
    last = replies[-1]
    assert last.details["measured_before"] is True
    quickest = min(last.details["measured"], key=lambda row: row["decode_ms"] + row["prefill_ms"] / 8)
    assert last.kernel == quickest["kernels"]


async def test_a_text_is_scored_as_numpy_scores_it(shared_pool: Pool) -> None:
    """Behind each token the probabilities of the packed weights: what remains are activations of 8 bits."""
    model = shared_pool.store.find(MODEL)
    assert model is not None
    windows = [np.arange(5, 150, dtype=np.int32)]
    original = Original.compute(PackedModel.open(model.folder / "2bit"), windows, lambda *_: None)
    paged = PageModel(shared_pool, model, Precision.BITS_2, Backend.WASM)
    await paged.open()
    found = await paged.score(original, "numbers-llama", lambda *_: None)
    assert found.n_tokens == 144
    assert found.kl < 0.02
    assert found.top1 > 0.95


async def test_a_backend_without_kernels_is_refused_by_name(shared_pool: Pool) -> None:
    request = ask(chat("What is 48 + 27?"))
    with pytest.raises(Unsupported, match="webnn"):
        await shared_pool.run(replace(request, backends=(Backend.WEBNN,)))
