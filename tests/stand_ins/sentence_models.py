"""Small models in every shape that sentence-transformers keeps one in: a BERT of random weights, and modules.

`tests/data/make_sentence_modules.py` asks sentence-transformers itself what each of them answers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.stand_ins.tiny_models import BERT_CONFIG, write_bert, write_json, write_modules

WIDTH = int(BERT_CONFIG["hidden_size"])
TEXTS = ("the girl eats bread .", "A man sleeps", "a", "", "man eats the bread . " * 6)
PROMPTS = {"query": "the man : ", "passage": "a girl "}
TRANSFORMER, NORMALIZE = ("", "Transformer", None), ("2_Normalize", "Normalize", None)


def pooling(**config: Any) -> tuple[str, str, dict[str, Any]]:
    """A Pooling in the folder of its usual name."""
    return ("1_Pooling", "Pooling", {"word_embedding_dimension": WIDTH, **config})


def write_dense(
    folder: Path,
    n_in: int,
    n_out: int,
    *,
    dtype: Any = np.float32,
    bias: bool = True,
    projected: bool = False,
) -> None:
    """Random weights of a Dense in `folder`."""
    chance = np.random.default_rng(n_in * 100 + n_out)
    tensors = {"linear.weight": chance.standard_normal((n_out, n_in)) * 0.5}
    if bias:
        tensors["linear.bias"] = chance.standard_normal(n_out) * 0.5
    if projected:
        tensors["residual.weight"] = chance.standard_normal((n_out, n_in)) * 0.5
    save_weights(folder, {name: tensor.astype(dtype) for name, tensor in tensors.items()})


def save_weights(folder: Path, tensors: dict[str, np.ndarray]) -> None:
    """A module's model.safetensors."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, str(folder / "model.safetensors"))


def _one_mode(mode: str) -> Callable[[Path], None]:
    return lambda folder: write_modules(folder, TRANSFORMER, pooling(pooling_mode=mode))


def _another_folder(folder: Path) -> None:
    config = {
        "word_embedding_dimension": WIDTH,
        "pooling_mode_cls_token": True,
        "pooling_mode_mean_tokens": False,
    }
    write_modules(folder, TRANSFORMER, ("pool", "Pooling", config), NORMALIZE)
    (folder / "1_Pooling" / "config.json").unlink()


def _three_older_modes(folder: Path) -> None:
    names = ("pooling_mode_mean_tokens", "pooling_mode_max_tokens", "pooling_mode_cls_token")
    write_modules(folder, TRANSFORMER, pooling(**dict.fromkeys(names, True)))


def _two_modes_in_order(folder: Path) -> None:
    write_modules(folder, TRANSFORMER, pooling(pooling_mode=["mean", "cls"]), NORMALIZE)


def _dense(folder: Path) -> None:
    """The default activation, Tanh, and float16 weights."""
    config = {"in_features": WIDTH, "out_features": 3, "bias": True}
    write_modules(
        folder, TRANSFORMER, pooling(), ("2_Dense", "Dense", config), ("3_Normalize", "Normalize", None)
    )
    write_dense(folder / "2_Dense", WIDTH, 3, dtype=np.float16)


def _dense_on_two_modes(folder: Path) -> None:
    config = {
        "in_features": 2 * WIDTH,
        "out_features": 5,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    write_modules(folder, TRANSFORMER, pooling(pooling_mode=["cls", "max"]), ("2_Dense", "Dense", config))
    write_dense(folder / "2_Dense", 2 * WIDTH, 5)


def _residual(folder: Path) -> None:
    """A layer of one size, then one whose input must be projected; both as version 6 writes them."""
    base = "sentence_transformers.base.modules"
    same = {
        "in_features": WIDTH,
        "out_features": WIDTH,
        "bias": False,
        "activation_function": "torch.nn.modules.activation.GELU",
        "module_input_name": "sentence_embedding",
        "module_output_name": "sentence_embedding",
        "use_residual": True,
    }
    other = same | {
        "out_features": 4,
        "bias": True,
        "activation_function": "torch.nn.modules.activation.SiLU",
    }
    config = {"embedding_dimension": WIDTH, "pooling_mode": "mean", "include_prompt": True}
    write_modules(
        folder,
        ("", f"{base}.transformer.Transformer", None),
        ("1_Pooling", "sentence_transformers.sentence_transformer.modules.pooling.Pooling", config),
        ("2_Dense", f"{base}.dense.Dense", same),
        ("3_Dense", f"{base}.dense.Dense", other),
    )
    write_dense(folder / "2_Dense", WIDTH, WIDTH, bias=False)
    write_dense(folder / "3_Dense", WIDTH, 4, projected=True)


def _layer_norm(folder: Path) -> None:
    config = {"dimension": WIDTH}
    dropout = ("3_Dropout", "Dropout", {"dropout": 0.3})
    write_modules(folder, TRANSFORMER, pooling(), ("2_LayerNorm", "LayerNorm", config), dropout)
    chance = np.random.default_rng(5)
    tensors = {
        f"norm.{name}": chance.standard_normal(WIDTH).astype(np.float32) for name in ("weight", "bias")
    }
    save_weights(folder / "2_LayerNorm", tensors)


def _default_prompt(folder: Path) -> None:
    write_json(
        folder / "config_sentence_transformers.json",
        {
            "__version__": {"sentence_transformers": "6.2.0"},
            "model_type": "SentenceTransformer",
            "prompts": PROMPTS,
            "default_prompt_name": "query",
            "similarity_fn_name": "dot",
        },
    )


def _truncated(folder: Path) -> None:
    write_modules(folder, TRANSFORMER, pooling(), NORMALIZE)
    config = {"default_prompt_name": None, "prompts": {"query": "", "document": ""}, "truncate_dim": 3}
    write_json(folder / "config_sentence_transformers.json", config)


def _prompt_left_out(mode: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        _default_prompt(folder)
        write_modules(folder, TRANSFORMER, pooling(pooling_mode=mode, include_prompt=False))

    return write


def _lower_case(folder: Path) -> None:
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 12, "do_lower_case": True})


def _as_version_6_saves(folder: Path) -> None:
    """No limit but the tokenizer's."""
    write_json(
        folder / "sentence_bert_config.json",
        {
            "transformer_task": "feature-extraction",
            "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
            "module_output_name": "token_embeddings",
        },
    )
    config = {"tokenizer_class": "TokenizersBackend", "backend": "tokenizers", "model_max_length": 10}
    write_json(folder / "tokenizer_config.json", config)


VARIANTS: dict[str, Callable[[Path], None]] = {
    "mean": lambda _: None,
    "another folder": _another_folder,
    **{mode: _one_mode(mode) for mode in ("max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")},
    "three older modes": _three_older_modes,
    "two modes in order": _two_modes_in_order,
    "dense": _dense,
    "dense on two modes": _dense_on_two_modes,
    "residual": _residual,
    "layer norm": _layer_norm,
    "default prompt": _default_prompt,
    "prompt left out": _prompt_left_out("mean"),
    "prompt left out, weighted": _prompt_left_out("weightedmean"),
    "prompt left out, first": _prompt_left_out("cls"),
    "truncated": _truncated,
    "lower case": _lower_case,
    "version 6": _as_version_6_saves,
}
# Options of a request, and what sentence-transformers calls them.
CALLS: dict[str, tuple[dict[str, Any], ...]] = {
    "mean": ({}, {"dimensions": 3}, {"dimensions": 3, "normalize": True}, {"prompt": "the bread "}),
    "max": ({}, {"normalize": True}),
    "default prompt": ({}, {"prompt_name": "passage"}, {"prompt": ""}),
    "truncated": ({}, {"normalize": True}, {"dimensions": 5}),
    "prompt left out": (
        {},
        {"prompt_name": "passage"},
        {"prompt": "man man man man man man man man man man"},
    ),
}


def calls_of(variant: str) -> tuple[dict[str, Any], ...]:
    """The options that the variant is asked with."""
    return CALLS.get(variant, ({},))


def write_variant(folder: Path, variant: str) -> Path:
    """The model of that name, as a folder to import."""
    write_bert(folder)
    VARIANTS[variant](folder)
    return folder
