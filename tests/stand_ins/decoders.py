"""Tiny decoders of each kind in transformers' layout, of weights that anybody can make again."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

SIZES = {
    "vocab_size": 64,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "bos_token_id": 1,
    "eos_token_id": 2,
}
# What SmolLM2's own config.json has besides.
SMOLLM2 = {
    "is_llama_config": True,
    "rope_interleaved": False,
    "rope_scaling": None,
    "rope_theta": 100000,
    "torch_dtype": "bfloat16",
    "attention_dropout": 0.0,
    "transformers.js_config": {"kv_cache_dtype": {"fp16": "float16"}},
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", "tie_word_embeddings": False},
    "smollm2": {"model_type": "llama", "tie_word_embeddings": True, **SMOLLM2},
    "llama-biases": {
        "model_type": "llama",
        "attention_bias": True,
        "mlp_bias": True,
        "head_dim": 16,
        "rope_theta": 500000.0,
        "rope_scaling": LLAMA3,
        "num_key_value_heads": 6,
    },
    "llama-linear": {"model_type": "llama", "rope_scaling": {"type": "linear", "factor": 2.0}},
    "qwen2": {
        "model_type": "qwen2",
        "tie_word_embeddings": True,
        "use_sliding_window": False,
        "sliding_window": 4096,
    },
    "qwen2-yarn": {
        "model_type": "qwen2",
        "rope_parameters": {
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 32,
            "rope_theta": 1000000.0,
        },
    },
    "qwen3": {"model_type": "qwen3", "head_dim": 16, "attention_bias": False, "tie_word_embeddings": True},
    "mistral": {"model_type": "mistral", "sliding_window": 48},
}
CLASSES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "mistral": "MistralForCausalLM",
}
TOKENS = [(7 * i * i + 3 * i + 5) % SIZES["vocab_size"] for i in range(40)]  # type: ignore[operator]


def config_of(kind: str) -> dict[str, Any]:
    """The config.json of one kind."""
    own = CONFIGS[kind]
    return {**SIZES, "architectures": [CLASSES[own["model_type"]]], **own}


def tensor(name: str, shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The numbers of a tensor: of its name alone, the same in every version of NumPy."""
    numbers = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    centre, spread = (1.0, 0.2) if name.endswith("norm.weight") else (0.0, 0.15)
    return (centre + spread * numbers).astype(np.float32)


def shapes_of(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """transformers' tensors of a configuration."""
    width, wide, heads = (config[key] for key in ("hidden_size", "intermediate_size", "num_attention_heads"))
    head = config.get("head_dim", width // heads)
    rows = {
        "q": heads * head,
        "k": config["num_key_value_heads"] * head,
        "v": config["num_key_value_heads"] * head,
    }
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (config["vocab_size"], width),
        "model.norm.weight": (width,),
    }
    if not config.get("tie_word_embeddings", False):
        shapes["lm_head.weight"] = (config["vocab_size"], width)
    has_biases = config.get("attention_bias", False)
    for layer in range(config["num_hidden_layers"]):
        here = f"model.layers.{layer}."
        shapes |= {f"{here}{name}_layernorm.weight": (width,) for name in ("input", "post_attention")}
        for name, n in rows.items():
            shapes[f"{here}self_attn.{name}_proj.weight"] = (n, width)
            if has_biases or config["model_type"] == "qwen2":
                shapes[f"{here}self_attn.{name}_proj.bias"] = (n,)
        shapes[f"{here}self_attn.o_proj.weight"] = (width, heads * head)
        if has_biases:
            shapes[f"{here}self_attn.o_proj.bias"] = (width,)
        if config["model_type"] == "qwen3":
            shapes |= {f"{here}self_attn.{name}_norm.weight": (head,) for name in ("q", "k")}
        for name, sizes in (("gate", (wide, width)), ("up", (wide, width)), ("down", (width, wide))):
            shapes[f"{here}mlp.{name}_proj.weight"] = sizes
            if config.get("mlp_bias", False):
                shapes[f"{here}mlp.{name}_proj.bias"] = sizes[:1]
    return shapes


def write_folder(folder: Path, kind: str, n_parts: int = 1, changes: dict[str, Any] | None = None) -> Path:
    """A folder with config.json and safetensors, in several parts with an index where asked for."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    config = config_of(kind) | (changes or {})
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {name: tensor(name, shape) for name, shape in shapes_of(config).items()}
    if n_parts == 1:
        save_file(tensors, folder / "model.safetensors")
        return folder
    names = sorted(tensors)
    places = {}
    for part in range(n_parts):
        path = f"model-{part + 1:05}-of-{n_parts:05}.safetensors"
        mine = names[part::n_parts]
        save_file({name: tensors[name] for name in mine}, folder / path)
        places |= dict.fromkeys(mine, path)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder
