"""Writes bert_kinds.tar.xz: tiny encoders that are BERT by other names, in safetensors, and transformers' answers.

Run in the environment of training/requirements.txt:

    python tests/data/make_bert_kinds.py

Each folder holds what a repository of the Hub has, and `expected.json`: texts and the mean of their tokens' vectors. Sizes are
those that the kernels take.
"""

from __future__ import annotations

import io
import json
import lzma
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from make_encoders import BERT, IDS, ROBERTA, TEXTS, make_tokenizer

TARGET = Path(__file__).with_name("bert_kinds.tar.xz")
MOST = 40
SIZES: dict[str, Any] = {"vocab_size": 64, "max_position_embeddings": MOST, "initializer_range": 0.3}
USUAL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
OWN = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}


def make_kinds() -> dict[str, tuple[Any, tuple[str, ...]]]:
    """A model and its special tokens, by type."""
    roberta = {**SIZES, **USUAL, **IDS, "type_vocab_size": 1}
    return {
        "distilbert": (hf.DistilBertModel(hf.DistilBertConfig(**SIZES, **OWN, pad_token_id=1)), BERT),
        "distilbert-headed": (
            hf.DistilBertForMaskedLM(hf.DistilBertConfig(**SIZES, **OWN, pad_token_id=1)),
            BERT,
        ),
        "roberta": (hf.RobertaModel(hf.RobertaConfig(**roberta, layer_norm_eps=1e-5)), ROBERTA),
        "xlm-roberta": (hf.XLMRobertaForMaskedLM(hf.XLMRobertaConfig(**roberta)), ROBERTA),
    }


def write_kind(folder: Path, model: Any, special: tuple[str, ...]) -> None:
    """The model's files, and its answers."""
    tokenizer = make_tokenizer(folder, special)
    model.eval().save_pretrained(folder, safe_serialization=True)
    base = getattr(model, model.base_model_prefix, model)
    vectors = []
    for text in TEXTS:
        ids = torch.tensor([tokenizer.encode(text).ids])
        with torch.no_grad():
            vectors.append(base(input_ids=ids).last_hidden_state[0].mean(0).tolist())
    (folder / "expected.json").write_text(json.dumps({"texts": TEXTS, "embeddings": vectors}))


def main() -> None:
    """Writes the archive; the same bytes where versions are the same."""
    torch.manual_seed(5)
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        for name, (model, special) in make_kinds().items():
            write_kind(home / name, model, special)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for path in sorted(home.rglob("*")):
                if path.is_file():
                    entry = tarfile.TarInfo(path.relative_to(home).as_posix())
                    entry.size = path.stat().st_size
                    archive.addfile(entry, io.BytesIO(path.read_bytes()))
        TARGET.write_bytes(lzma.compress(packed.getvalue(), preset=9))


if __name__ == "__main__":
    main()
