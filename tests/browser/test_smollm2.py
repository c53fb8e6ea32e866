"""The true SmolLM2-135M-Instruct in real pages: read from GGUF, in 16 bits, answers as transformers does."""

from __future__ import annotations

import pytest

from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Backend, Family, Precision
from browser_runtime.models.store import ModelStore, StoredModel
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from tests.stand_ins.smollm2 import ANSWERS, import_smollm2

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Every token of these leads the second likeliest by more than rounding to 16 bits may change.
SURE = [answer for answer in ANSWERS if answer["least_lead"] > 0.03]


@pytest.fixture(scope="session")
def smollm2(settings: RuntimeSettings, tmp_path_factory: pytest.TempPathFactory) -> StoredModel:
    """The model, taken in once."""
    return import_smollm2(ModelStore(settings.models_dir), tmp_path_factory.mktemp("smollm2"))


async def test_a_page_answers_as_transformers_does(shared_pool: Pool, smollm2: StoredModel) -> None:
    """Right rows of queries and keys, and the right template: any other order of rows says nonsense."""
    request = Request(
        Family.TEXT_GENERATION,
        smollm2.name,
        {"prompts": [[{"role": "user", "content": answer["question"]}] for answer in SURE]},
        precision=Precision.FP16,
        backends=(Backend.WASM,),
        options={"max_new_tokens": 16, "temperature": 0.0},
        single=False,
    )
    reply = await shared_pool.run(request)
    assert [output["tokens"] for output in reply.output] == [answer["tokens"] for answer in SURE]
    assert [output["text"] for output in reply.output] == [answer["text"] for answer in SURE]
    assert [output["prompt_tokens"] for output in reply.output] == [len(answer["prompt"]) for answer in SURE]
    assert {output["finish_reason"] for output in reply.output} == {"stop"}
    assert reply.kernel.startswith("low_bits wasm")
