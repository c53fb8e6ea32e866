"""sentences-bert on disk: configurations, ONNX graph, examples. Its tokenizer is in `sentence_pieces`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from transformers import BertModel

from training.graphs import write_graph
from training.manifests import BUILTIN, write_json, write_manifest
from training.sentence_pieces import describe_tokenizer, name_special
from training.sentences_test import embed_texts

FOLDER = BUILTIN / "sentences-bert"
MAX_TOKENS = 128
SETTINGS = {"pooling": "mean", "normalize": True, "max_tokens": MAX_TOKENS}
SOURCE = (
    "Distilled by training/sentences.py from sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0) on texts "
    "generated from word lists and on the glosses and examples of WordNet 3.0 (WordNet licence)"
)
EXAMPLES = (
    "A man is playing a guitar.",
    "Someone makes music on a string instrument.",
    "The train to the coast leaves at noon.",
    "How do I reset my password?",
)
INPUTS = ["input_ids", "attention_mask", "token_type_ids"]


class TokenVectors(torch.nn.Module):
    """The encoder as a graph with three inputs and one output."""

    def __init__(self, model: BertModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Token vectors [n, length, width]."""
        return self.model(input_ids, attention_mask, token_type_ids).last_hidden_state


def write(model: BertModel) -> None:
    """The model's folder in transformers.js' layout; the tokenizer must lie there already."""
    write_json(FOLDER / "config.json", {"architectures": ["BertModel"], **model.config.to_diff_dict()})
    write_json(FOLDER / "tokenizer_config.json", describe_tokenizer(MAX_TOKENS))
    write_json(FOLDER / "special_tokens_map.json", name_special())
    write_json(FOLDER / "modules.json", [_module(index) for index in range(len(MODULES))])
    write_json(FOLDER / "sentence_bert_config.json", {"max_seq_length": MAX_TOKENS, "do_lower_case": False})
    pooling = {"word_embedding_dimension": model.config.hidden_size, "pooling_mode_mean_tokens": True}
    write_json(FOLDER / "1_Pooling" / "config.json", pooling)
    write_onnx(model)
    write_manifest(
        FOLDER, family="text_embedding", source=SOURCE, settings=SETTINGS, examples=write_examples()
    )


MODULES = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))


def _module(index: int) -> dict[str, object]:
    """One row of sentence-transformers' `modules.json`."""
    path, kind = MODULES[index]
    return {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}


def write_onnx(model: BertModel) -> None:
    """`onnx/model.onnx`."""
    axes = {name: {0: "batch_size", 1: "sequence_length"} for name in [*INPUTS, "last_hidden_state"]}
    ids = torch.ones(2, 5, dtype=torch.int64)
    path = FOLDER / "onnx/model.onnx"
    write_graph(
        TokenVectors(model), [ids, ids, torch.zeros_like(ids)], path, (INPUTS, ["last_hidden_state"]), axes
    )


def write_examples() -> list[dict[str, object]]:
    """Four sentences and a file with their embeddings, float32 [4, width], as onnxruntime computes them."""
    path = "examples/embeddings.npy"
    (FOLDER / "examples").mkdir(exist_ok=True)
    np.save(FOLDER / path, embed_texts(FOLDER, list(EXAMPLES)))
    return [{"input": text, "expected": {"embedding": path, "row": row}} for row, text in enumerate(EXAMPLES)]
