"""GGUF metadata as the config.json of the same model; keys are understood, or refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadInput
from browser_runtime.low_bits.reading.gguf import GgufFile
from browser_runtime.low_bits.shape import CLASSES
from browser_runtime.models.files.paths import shorten

# Mistral's files say llama, too: the two compute the same where there is no window.
ARCHITECTURES = ("llama", "qwen2", "qwen3")
FREQUENCY_FACTORS = "rope_freqs.weight"
"""Llama 3's scaling: what each pair's wavelength is multiplied by."""

SAME = {
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.key_length": "head_dim",
    "rope.freq_base": "rope_theta",
    "vocab_size": "vocab_size",
    "attention.sliding_window": "sliding_window",
}
"""config.json's key for each of the architecture's own."""

SCALING = {
    "rope.scaling.factor": "factor",
    "rope.scaling.original_context_length": "original_max_position_embeddings",
    "rope.scaling.attn_factor": "attention_factor",
    "rope.scaling.yarn_beta_fast": "beta_fast",
    "rope.scaling.yarn_beta_slow": "beta_slow",
}
# Held against the sizes below, or about other programs.
CHECKED = {
    "attention.value_length": "attention.key_length",
    "rope.dimension_count": "attention.key_length",
}
ZERO = ("expert_count", "expert_used_count", "rope.scale_linear")
WITHOUT_EFFECT = ("rope.scaling.finetuned",)
SCALING_TYPE = "rope.scaling.type"


def read_config(file: GgufFile) -> dict[str, Any]:
    """The config.json that transformers would have of the model. Raises BadInput naming key and value."""
    architecture = file.fields.get("general.architecture")
    if architecture not in ARCHITECTURES:
        allowed = f"one of {', '.join(ARCHITECTURES)}"
        raise BadInput(f"general.architecture of {file.path}", shorten(architecture), allowed)
    own = {
        key.removeprefix(f"{architecture}."): value
        for key, value in file.fields.items()
        if key.startswith(f"{architecture}.")
    }
    _refuse_unknown(file, architecture, own)
    config = {SAME[key]: _plain(value) for key, value in own.items() if key in SAME}
    slides = own.get("attention.sliding_window") and architecture == "llama"
    model_type = "mistral" if slides else architecture
    config |= {"model_type": model_type, "architectures": [CLASSES[model_type]], "hidden_act": "silu"}
    config |= {
        "tie_word_embeddings": "output.weight" not in file.shapes,
        "rope_theta": _plain(own.get("rope.freq_base", 1e4)),
    }
    config.setdefault("vocab_size", len(file.fields.get("tokenizer.ggml.tokens", ())))
    config.setdefault("num_key_value_heads", config.get("num_attention_heads"))
    config.setdefault("head_dim", _head_width(own))
    config |= _read_biases(file, model_type)
    config |= _read_scaling(file, own)
    if model_type.startswith("qwen"):
        config.pop("sliding_window", None)
    for name in ("bos", "eos"):
        if f"tokenizer.ggml.{name}_token_id" in file.fields:
            config[f"{name}_token_id"] = file.fields[f"tokenizer.ggml.{name}_token_id"]
    return config


def _head_width(own: Mapping[str, Any]) -> int | None:
    """The width of a head where the file does not say it; None if that cannot be told."""
    width, heads = own.get("embedding_length"), own.get("attention.head_count")
    return width // heads if type(width) is int and type(heads) is int and heads > 0 else None


def _plain(value: Any) -> Any:
    """32-bit floats as the shortest number that is the same: 1e-05, not 9.99999974e-06."""
    return float(str(np.float32(value))) if isinstance(value, float) else value


def _refuse_unknown(file: GgufFile, architecture: str, own: Mapping[str, Any]) -> None:
    known = {*SAME, *SCALING, *CHECKED, *ZERO, *WITHOUT_EFFECT, SCALING_TYPE}
    for key, value in own.items():
        name, shown = f"{architecture}.{key} of {file.path}", shorten(value)
        if key not in known:
            raise BadInput(name, shown, "left out: it is not understood here")
        if key in ZERO and value:
            raise BadInput(name, shown, "left out or 0: mixtures of experts are not computed here")
        if isinstance(value, list):
            raise BadInput(name, f"a list of {len(value)}", "one number for all layers")
    width = own.get("attention.key_length", _head_width(own))
    for key in CHECKED:
        if own.get(key, width) != width:
            allowed = f"{width}, the width of a head: parts of heads are not turned here"
            raise BadInput(f"{architecture}.{key} of {file.path}", shorten(own[key]), allowed)


def _read_biases(file: GgufFile, model_type: str) -> dict[str, Any]:
    """Llama's and Qwen3's files tell of biases by having them."""
    has_biases = {
        "attention_bias": "blk.0.attn_q.bias" in file.shapes,
        "mlp_bias": "blk.0.ffn_gate.bias" in file.shapes,
    }
    allowed = {"llama": ("attention_bias", "mlp_bias"), "qwen3": ("attention_bias",)}.get(model_type, ())
    return {key: value for key, value in has_biases.items() if key in allowed}


def _read_scaling(file: GgufFile, own: dict[str, Any]) -> dict[str, Any]:
    kind = own.get(SCALING_TYPE, "none")
    if kind == "none" or (kind == "linear" and own.get("rope.scaling.factor", 1.0) in (0.0, 1.0)):
        return {}
    if kind not in ("linear", "yarn"):
        allowed = "one of none, linear, yarn"
        raise BadInput(f"{SCALING_TYPE} of {file.path}", shorten(kind), allowed)
    named = {SCALING[key]: _plain(value) for key, value in own.items() if key in SCALING}
    if kind == "linear":
        named = {"factor": named.get("factor")}
    return {"rope_scaling": {"rope_type": kind, **named}}
