"""Language models as ONNX graphs in real pages: tokens of transformers, the same options, the same stops."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from browser_runtime.contract.errors import BadInput, Unsupported
from browser_runtime.contract.messages import Request
from browser_runtime.contract.pieces import Piece, PieceMemory
from browser_runtime.contract.vocabulary import Backend, Family, Precision
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.store import ModelStore
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from browser_runtime.simulation import reference
from tests.browser.engines import ONE_OF_EACH
from tests.stand_ins.language_graphs import GRAPHS, REFERENCE, write_language_graph, write_numbers_graphs

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRECISIONS = (Precision.FP32, Precision.FP16, Precision.INT8, Precision.Q4)
GREEDY = {"temperature": 0.0, "max_new_tokens": 24}
NUMBERS = "numbers-onnx"
QUESTIONS = {"Write 347 in words.": "three hundred forty-seven", "What is 48 + 27?": "75"}


@pytest.fixture(scope="session")
def graphs(settings: RuntimeSettings, tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    """The models, taken in once."""
    home, store = tmp_path_factory.mktemp("graphs"), ModelStore(settings.models_dir)
    for kind in GRAPHS:
        import_model(write_language_graph(home / kind, kind), f"tiny-{kind}", store=store)
    import_model(write_numbers_graphs(home / NUMBERS, PRECISIONS), NUMBERS, store=store)
    return store


def ask(
    model: str,
    *prompts: Any,
    precision: Precision = Precision.FP32,
    backend: Backend = Backend.WASM,
    **options: Any,
) -> Request:
    return Request(
        Family.TEXT_GENERATION,
        model,
        {"prompts": list(prompts)},
        precision=precision,
        backends=(backend,),
        options={**GREEDY, "seed": 1, **options},
        single=len(prompts) == 1,
    )


def chat(question: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}]


@pytest.mark.parametrize("kind", GRAPHS)
async def test_a_page_gives_the_tokens_of_transformers(
    shared_pool: Pool, graphs: ModelStore, kind: str
) -> None:
    reply = await shared_pool.run(ask(f"tiny-{kind}", *REFERENCE["prompts"]))
    assert [output["tokens"] for output in reply.output] == REFERENCE["answers"][kind]
    assert [output["prompt_tokens"] for output in reply.output] == [16, 90]
    assert {output["finish_reason"] for output in reply.output} == {"length"}
    assert reply.kernel.startswith("onnxruntime-web") and reply.details["ms_per_token"] > 0
    # Two layers of two heads of eight numbers, keys and values of 32 bits; the last token needs no place.
    assert reply.details["cache_bytes_used"] == (16 + 24 + 90 + 24) * 2 * 2 * 2 * 8 * 4
    assert (reply.details["weight_bits"], reply.details["kv_bits"]) == ([32], [32, 32])


@pytest.mark.parametrize(
    ("precision", "weight_bits", "kv_bits"),
    [(Precision.FP16, [16], 16), (Precision.INT8, [8, 32], 32), (Precision.Q4, [4, 32], 32)],
)
async def test_each_precision_answers_as_few_bits_do(
    shared_pool: Pool, graphs: ModelStore, precision: Precision, weight_bits: list[int], kv_bits: int
) -> None:
    prompts = [chat(question) for question in QUESTIONS]
    reply = await shared_pool.run(ask(NUMBERS, *prompts, precision=precision))
    assert [output["text"] for output in reply.output] == list(QUESTIONS.values())
    assert {output["finish_reason"] for output in reply.output} == {"stop"}
    assert (reply.precision, reply.backend, reply.fallbacks) == (precision, Backend.WASM, ())
    assert (reply.details["weight_bits"], reply.details["kv_bits"]) == (weight_bits, [kv_bits, kv_bits])


async def test_the_weights_of_four_bits_give_the_same_tokens_on_both_engines(
    shared_pool: Pool, graphs: ModelStore
) -> None:
    prompts = [chat(question) for question in QUESTIONS]
    graph = await shared_pool.run(ask(NUMBERS, *prompts))
    packed = await shared_pool.run(ask("numbers-llama", *prompts, precision=Precision.BITS_4))
    assert packed.kernel.startswith("low_bits") and graph.kernel.startswith("onnxruntime-web")
    assert [output["tokens"] for output in graph.output] == [output["tokens"] for output in packed.output]


async def test_chance_penalty_and_stops_are_those_of_the_other_engine(
    shared_pool: Pool, graphs: ModelStore
) -> None:
    chances = {"temperature": 1.5, "top_k": 40, "top_p": 0.95, "repetition_penalty": 1.1, "seed": 12345}
    model = graphs.find("tiny-llama")
    assert model is not None
    prompts = REFERENCE["prompts"][:1]
    reply = await shared_pool.run(ask(model.name, *prompts, **chances))
    (wanted,) = reference(model, Family.TEXT_GENERATION, prompts, {**GREEDY, **chances})
    assert reply.output["tokens"] == wanted["tokens"]
    stopped = await shared_pool.run(ask(NUMBERS, chat("Write 347 in words."), stop=["hundred"]))
    assert (stopped.output["text"], stopped.output["finish_reason"]) == ("three ", "stop_string")


async def test_prompts_take_turns_and_another_family_goes_on(shared_pool: Pool, graphs: ModelStore) -> None:
    sums = [shared_pool.run(ask(NUMBERS, chat(f"What is {n} + 27?"))) for n in range(40, 46)]
    image = np.zeros((28, 28, 3), np.uint8)
    other = Request(Family.VISION, "digits-vit", {"images": [image]}, backends=(Backend.WASM,))
    *replies, picture = await asyncio.gather(*sums, shared_pool.run(other))
    assert [reply.output["text"] for reply in replies] == [str(n + 27) for n in range(40, 46)]
    assert picture.output["labels"]


class Closing(PieceMemory):
    """Reads one piece and then wants no more."""

    def __init__(self) -> None:
        super().__init__()
        self.enough = asyncio.Event()

    def put(self, piece: Piece) -> None:
        super().put(piece)
        self.enough.set()


async def test_who_goes_away_stops_the_page(shared_pool: Pool, graphs: ModelStore) -> None:
    endless = ask("tiny-llama", "Once", temperature=5.0, repetition_penalty=10.0, max_new_tokens=180)
    for _ in range(3):
        sink = Closing()
        running = asyncio.create_task(shared_pool.run(endless, sink))
        await sink.enough.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    reply = await shared_pool.run(ask(NUMBERS, chat("What is 48 + 27?")))
    assert reply.output["text"] == "75"


async def test_what_cannot_be_done_is_named(shared_pool: Pool, graphs: ModelStore) -> None:
    with pytest.raises(BadInput, match=r"options.kv_cache is 'k3v2', but must be left out: .*model.onnx"):
        await shared_pool.run(ask("tiny-llama", "Once", kv_cache="k3v2"))
    with pytest.raises(BadInput, match=r"200 tokens.*at most 191"):
        await shared_pool.run(ask("tiny-llama", "x" * 200))
    with pytest.raises(Unsupported, match="webnn"):
        await shared_pool.run(ask("tiny-llama", "Once", backend=Backend.WEBNN))


@ONE_OF_EACH
async def test_webgpu_gives_the_same_tokens(shared_pool: Pool, graphs: ModelStore) -> None:
    if not shared_pool.sessions[0].capabilities.can(Backend.WEBGPU):
        return
    reply = await shared_pool.run(ask("tiny-llama", *REFERENCE["prompts"], backend=Backend.WEBGPU))
    assert [output["tokens"] for output in reply.output] == REFERENCE["answers"]["llama"]
    assert reply.details["placement"]["webgpu"] > 0
    packed = await shared_pool.run(
        ask(NUMBERS, chat("What is 48 + 27?"), precision=Precision.Q4, backend=Backend.WEBGPU)
    )
    assert packed.output["text"] == "75"
