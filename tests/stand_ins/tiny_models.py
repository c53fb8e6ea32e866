"""Models small enough to make in a test: a BERT of random weights, a classifier, with all their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

BERT_CONFIG = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": 8,
    "intermediate_size": 16,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 32,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "type_vocab_size": 2,
    "vocab_size": 12,
}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "man", "eats", "bread", "the", "girl", "sleeps", "."]


def write_json(path: Path, value: Any) -> None:
    """`value` as JSON at `path`, its folders made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def bert_weights(config: dict[str, Any] = BERT_CONFIG, seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights under Hugging Face's names."""
    chance = np.random.default_rng(seed)
    wide, inner = config["hidden_size"], config["intermediate_size"]

    def draw(*shape: int) -> np.ndarray:
        return (chance.standard_normal(shape) * 0.5).astype(np.float32)

    def norm(name: str) -> dict[str, np.ndarray]:
        return {f"{name}.weight": 1 + draw(wide) * 0.1, f"{name}.bias": draw(wide)}

    weights = {
        "embeddings.word_embeddings.weight": draw(config["vocab_size"], wide),
        "embeddings.position_embeddings.weight": draw(config["max_position_embeddings"], wide),
        "embeddings.token_type_embeddings.weight": draw(2, wide),
        **norm("embeddings.LayerNorm"),
    }
    for layer in range(config["num_hidden_layers"]):
        base = f"encoder.layer.{layer}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            weights |= {f"{base}.attention.{part}.weight": draw(wide, wide)}
            weights |= {f"{base}.attention.{part}.bias": draw(wide)}
        weights |= {f"{base}.intermediate.dense.weight": draw(inner, wide)}
        weights |= {f"{base}.intermediate.dense.bias": draw(inner)}
        weights |= {f"{base}.output.dense.weight": draw(wide, inner), f"{base}.output.dense.bias": draw(wide)}
        weights |= norm(f"{base}.attention.output.LayerNorm") | norm(f"{base}.output.LayerNorm")
    return weights


def write_bert(folder: Path, **changes: Any) -> Path:
    """A BERT as sentence-transformers keeps one: safetensors, tokenizer, mean pooling, no ONNX."""
    from safetensors.numpy import save_file

    config = BERT_CONFIG | changes
    write_json(folder / "config.json", config)
    write_tokenizer(folder)
    pooling = {"word_embedding_dimension": config["hidden_size"], "pooling_mode_mean_tokens": True}
    write_modules(
        folder,
        ("", "Transformer", None),
        ("1_Pooling", "Pooling", pooling),
        ("2_Normalize", "Normalize", None),
    )
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 16})
    save_file(bert_weights(BERT_CONFIG), str(folder / "model.safetensors"))
    return folder


def write_modules(folder: Path, *modules: tuple[str, str, dict[str, Any] | None]) -> None:
    """modules.json with each module's folder and class, and the configurations of those that have one."""
    listed = []
    for index, (path, kind, config) in enumerate(modules):
        where = f"sentence_transformers.models.{kind}" if "." not in kind else kind
        listed.append({"idx": index, "name": str(index), "path": path, "type": where})
        if config is not None:
            write_json(folder / path / "config.json", config)
    write_json(folder / "modules.json", listed)


def write_tokenizer(folder: Path) -> None:
    """A word-level tokenizer of WORDS, with [CLS] and [SEP] around, that pads as saved ones often do."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_padding(length=8)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": 1000000000000000019884624838656,
            **{f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep")},
        },
    )


def write_text_repository(folder: Path, precisions: tuple[str, ...] = ("",)) -> Path:
    """A Hub repository of that BERT: transformers.js' layout, one graph a suffix, files nobody needs."""
    from browser_runtime.models.intake.export_bert import export_bert

    write_bert(folder)
    for suffix in precisions:
        weights = [folder / "model.safetensors"]
        export_bert(folder / "config.json", weights, folder / "onnx" / f"model{suffix}.onnx")
    (folder / "model.safetensors").unlink()
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n")
    (folder / "pytorch_model.bin").write_bytes(b"never to be fetched" * 1000)
    return folder


def write_classifier(folder: Path, size: int = 4, n_classes: int = 3, channels: int = 3) -> Path:
    """An image classifier: logits that weigh the image's mean colour, in transformers.js' layout."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.arange(channels * n_classes, dtype=np.float32).reshape(channels, n_classes) / 10
    shape = ["batch_size", "num_channels", "height", "width"]
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["pixel_values"], ["means"]),
            helper.make_node("Flatten", ["means"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        ],
        "classifier",
        [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch_size", n_classes])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    onnx.save_model(model, str(folder / "onnx" / "model.onnx"))
    names = {str(index): f"class {index}" for index in range(n_classes)}
    config = {"architectures": ["ViTForImageClassification"], "id2label": names, "num_channels": channels}
    write_json(folder / "config.json", {"model_type": "vit", **config})
    write_json(
        folder / "preprocessor_config.json",
        {
            "size": {"height": size, "width": size},
            "resample": 2,
            "image_mean": [0.5] * channels,
            "image_std": [0.5] * channels,
        },
    )
    return folder


def move_weights(graph: Path, location: str, write: bool = True) -> None:
    """Rewrites the graph so that its first constant lies in another file, written where `write` says so."""
    import onnx
    from onnx.external_data_helper import set_external_data

    model = onnx.load_model(str(graph))
    tensor = model.graph.initializer[0]
    content = tensor.raw_data
    set_external_data(tensor, location, offset=0, length=len(content))
    tensor.ClearField("raw_data")
    graph.write_bytes(model.SerializeToString())
    if write:
        (graph.parent / location).parent.mkdir(parents=True, exist_ok=True)
        (graph.parent / location).write_bytes(content)
