"""Writes decoder_logits.npz: transformers' logits of the tiny decoders of tests/stand_ins/decoders.

Run once, in an environment of its own; the tests need neither:

    pip install transformers==5.24.0 torch
    PYTHONPATH=. python tests/data/make_decoder_logits.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers

from tests.stand_ins.decoders import CONFIGS, TOKENS, write_folder


def ask(folder: Path) -> np.ndarray:
    """The logits [tokens, vocabulary] of every position, and nothing in the folder left unread."""
    model, told = transformers.AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32, output_loading_info=True)
    assert not any(told.values()), told
    with torch.no_grad():
        return model.eval()(torch.tensor([TOKENS])).logits[0].numpy()


def main(target: Path) -> None:
    """Asks every kind."""
    with tempfile.TemporaryDirectory() as home:
        logits = {kind: ask(write_folder(Path(home) / kind, kind)) for kind in CONFIGS}
    np.savez_compressed(target, **logits)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("decoder_logits.npz"))
