"""The test of sentences-bert: hand-written triples that no training text was taken from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

TRIPLES = Path(__file__).parents[1] / "tests" / "unit" / "data" / "sentence_triples.json"


def embed_texts(folder: Path, texts: list[str]) -> NDArray[np.float32]:
    """Unit-length embeddings [n, width] of the texts, one at a time, through the ONNX graph as published."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    session = onnxruntime.InferenceSession(str(folder / "onnx/model.onnx"))
    return np.stack([_embed(session, tokenizer.encode(text).ids) for text in texts])


def _embed(session: onnxruntime.InferenceSession, ids: list[int]) -> NDArray[np.float32]:
    row = np.array([ids], np.int64)
    feeds = {"input_ids": row, "attention_mask": np.ones_like(row), "token_type_ids": np.zeros_like(row)}
    mean = session.run(None, feeds)[0][0].mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean), np.float32)


def measure(folder: Path) -> float:
    """The share of triples whose anchor is closer to the similar sentence than to the dissimilar one."""
    triples = json.loads(TRIPLES.read_text(encoding="utf-8"))
    vectors = embed_texts(folder, [text for triple in triples for text in triple]).reshape(
        len(triples), 3, -1
    )
    like, unlike = (np.einsum("nd,nd->n", vectors[:, 0], vectors[:, other]) for other in (1, 2))
    return float((like > unlike).mean())
