"""The config.json and tensors of encoders by names that their exporters and the packer read.

Those that compute what BERT does have BERT's names; a ViT has its own, without the prefix.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadInput

Weights = dict[str, np.ndarray[Any, np.dtype[Any]]]
Config = dict[str, Any]

BERT, DISTILBERT = "bert", "distilbert"
ROBERTAS = ("roberta", "xlm-roberta")
BERT_TYPES = (BERT, DISTILBERT, *ROBERTAS)
"""Values of config.json's `model_type` that can be read as BERT's."""
VIT = "vit"
ENCODER_TYPES = (*BERT_TYPES, VIT)
"""Those that are stored in 8 bits too."""
# RoBERTa's own, where config.json names none.
USUAL_PADDING = 1
DISTILBERT_KEYS = {
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "hidden_dim": "intermediate_size",
    "activation": "hidden_act",
}
# Of training, or of heads that an encoder has not.
DISTILBERT_WITHOUT_EFFECT = (
    *("attention_dropout", "dropout", "qa_dropout", "seq_classif_dropout", "tie_weights_"),
    # Sinusoidal or learned, its positions are a table among its tensors.
    "sinusoidal_pos_embds",
)
DISTILBERT_PARTS = {
    "attention.q_lin": "attention.self.query",
    "attention.k_lin": "attention.self.key",
    "attention.v_lin": "attention.self.value",
    "attention.out_lin": "attention.output.dense",
    "sa_layer_norm": "attention.output.LayerNorm",
    "ffn.lin1": "intermediate.dense",
    "ffn.lin2": "output.dense",
    "output_layer_norm": "output.LayerNorm",
}


def read_config(config: Mapping[str, Any]) -> Config:
    """The config as BERT has it; one of another type, or with no number where one is needed, as it is.

    Raises BadInput for a RoBERTa all of whose positions are for padding.
    """
    kind = config.get("model_type")
    if kind in ROBERTAS:
        positions = config.get("max_position_embeddings")
        if type(positions) is not int:
            return dict(config)
        # The first rows of its table are for padding: what is left has a row a token.
        if positions <= _skipped(config):
            given = f"{positions}, of which pad_token_id leaves no row for a token"
            raise BadInput("max_position_embeddings of config.json", given, f"more than {_skipped(config)}")
        return {**config, "model_type": BERT, "max_position_embeddings": positions - _skipped(config)}
    if kind == DISTILBERT:
        named = {
            DISTILBERT_KEYS.get(key, key): value
            for key, value in config.items()
            if key not in DISTILBERT_WITHOUT_EFFECT
        }
        return {"type_vocab_size": 1, "layer_norm_eps": 1e-12, **named, "model_type": BERT}
    return dict(config)


def read_tensors(config: Mapping[str, Any], weights: Weights) -> Weights:
    """The tensors under BERT's names, or ViT's; those of heads under their own.

    `weights`: by the names of the model's own type, with or without its prefix.
    """
    kind = config.get("model_type")
    bare = {name.removeprefix(f"{prefix_of(kind)}."): tensor for name, tensor in weights.items()}
    if kind in ROBERTAS:
        table = "embeddings.position_embeddings.weight"
        if table in bare:
            bare[table] = bare[table][_skipped(config) :]
        return bare
    return _read_distilbert(bare) if kind == DISTILBERT else bare


def prefix_of(kind: object) -> str:
    """What stands before a tensor's name in a model with a head."""
    return "roberta" if kind in ROBERTAS else str(kind) if kind in (DISTILBERT, VIT) else BERT


def _skipped(config: Mapping[str, Any]) -> int:
    """Rows of positions that no token has (transformers, create_position_ids_from_input_ids)."""
    padding = config.get("pad_token_id")
    return (padding if type(padding) is int else USUAL_PADDING) + 1


def _read_distilbert(weights: Weights) -> Weights:
    found = {_rename(name): tensor for name, tensor in weights.items()}
    words = found.get("embeddings.word_embeddings.weight")
    if words is not None:
        # It knows no types of tokens: one, that adds nothing.
        found["embeddings.token_type_embeddings.weight"] = np.zeros((1, *words.shape[1:]), np.float32)
    return found


def _rename(name: str) -> str:
    """BERT's name of one of DistilBERT's tensors."""
    if not name.startswith("transformer.layer."):
        return name
    index, part = name.removeprefix("transformer.layer.").split(".", maxsplit=1)
    module, _, end = part.rpartition(".")
    return f"encoder.layer.{index}.{DISTILBERT_PARTS.get(module, module)}.{end}"
