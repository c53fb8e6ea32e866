"""Builds the ONNX graph of a BERT encoder from its safetensors weights, without torch.

The graph is Devlin et al. 2018 (arXiv:1810.04805) as Hugging Face's `BertModel` computes it in evaluation
mode, in operators that onnxruntime-web runs natively on wasm, webgpu and WebNN (opset 17: fused
LayerNormalization, GELU through Erf). Attention and GELU are laid out as the PyTorch exporter lays them out,
because onnxruntime's own fusions look for that layout.

    input_ids, attention_mask, token_type_ids   int64 [batch_size, sequence_length]
    last_hidden_state                           float32 [batch_size, sequence_length, hidden_size]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadRequest
from browser_runtime.models.files.json_files import parse_object
from browser_runtime.models.intake.bert_names import (
    BERT,
    BERT_TYPES,
    Weights,
    read_config,
    read_tensors,
)
from browser_runtime.models.intake.graph_builder import GraphBuilder

# LayerNormalization came with 17; a later opset is not read by every onnxruntime-web in use.
OPSET = 17
# onnx 1.13, of the same time as opset 17.
IR_VERSION = 8
# What hides a padded position from the softmax: BERT's own constant; unlike -inf it also fits float16.
HIDDEN_SCORE = -10_000.0
# A protobuf message ends at 2 GiB; larger encoders would need external data.
MAX_WEIGHT_BYTES = 2_000_000_000
# The same weights in 64 bits.
MAX_FILE_BYTES = 2 * MAX_WEIGHT_BYTES
ACTIVATIONS = ("gelu", "relu")


@dataclass(frozen=True)
class BertShape:
    """The sizes of one BERT encoder, from its config.json."""

    hidden: int
    heads: int
    layers: int
    epsilon: float
    activation: str

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> BertShape:
        """The sizes in `config`. Raises BadRequest for what this exporter does not compute."""
        _refuse_variants(config)
        return cls(
            hidden=config["hidden_size"],
            heads=config["num_attention_heads"],
            layers=config["num_hidden_layers"],
            epsilon=config.get("layer_norm_eps", 1e-12),
            activation=config.get("hidden_act", "gelu"),
        )


def _refuse_variants(config: Mapping[str, Any]) -> None:
    if config.get("model_type") != BERT:
        raise BadRequest(
            f"model_type {config.get('model_type')!r} cannot be exported to ONNX here, only "
            + ", ".join(map(repr, BERT_TYPES))
        )
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise BadRequest("only BERT with absolute position embeddings can be exported to ONNX here")
    if config.get("hidden_act", "gelu") not in ACTIVATIONS:
        raise BadRequest(
            f"hidden_act {config['hidden_act']!r} cannot be exported, only {', '.join(ACTIVATIONS)}"
        )
    for name in ("hidden_size", "num_attention_heads", "num_hidden_layers"):
        if type(config.get(name)) is not int or config[name] < 1:
            raise BadRequest(f"config.json has no whole {name} from 1")


def export_bert(config: Path, weights: Sequence[Path], target: Path) -> None:
    """Writes the encoder of config.json at `config` and the safetensors files `weights` to `target` as ONNX.

    Raises BadRequest if it is no BERT, a tensor is missing or of another size, or there are over 2 GB.
    """
    import onnx

    plain = parse_object(config.read_bytes(), config.name)
    shape = BertShape.of(read_config(plain))
    model = bert_model(shape, read_tensors(plain, read_weights(weights)))
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise BadRequest(f"the weights make no BERT of config.json's sizes: {error}") from error
    target.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(model, str(target))


def read_weights(files: Sequence[Path]) -> Weights:
    """Every tensor of the safetensors files as float32, under its own name. Raises BadRequest."""
    from safetensors import SafetensorError

    size_bytes = sum(path.stat().st_size for path in files)
    if size_bytes > MAX_FILE_BYTES:
        raise BadRequest(
            f"the safetensors files hold {size_bytes} bytes, more than the {MAX_FILE_BYTES} allowed"
        )
    weights: Weights = {}
    for path in files:
        try:
            weights |= _read_file(path)
        except (SafetensorError, TypeError) as error:
            raise BadRequest(f"{path.name} cannot be read: {error}") from error
    total = sum(array.nbytes for array in weights.values())
    if total > MAX_WEIGHT_BYTES:
        raise BadRequest(
            f"the weights hold {total} bytes, more than the {MAX_WEIGHT_BYTES} that one ONNX file can"
        )
    return weights


def _read_file(path: Path) -> Weights:
    from safetensors import safe_open

    with safe_open(str(path), framework="numpy") as tensors:
        return {
            name: tensors.get_tensor(name).astype(np.float32)
            for name in tensors.keys()  # noqa: SIM118 - a reader, not a dict
            if not name.endswith("position_ids")
        }


def bert_model(shape: BertShape, weights: Weights) -> Any:
    """The `onnx.ModelProto` of the encoder with these weights."""
    from onnx import TensorProto, helper

    graph = _Graph(weights=weights)
    hidden = _embeddings(graph, shape)
    mask = _hidden_scores(graph)
    for layer in range(shape.layers):
        hidden = _layer(graph, shape, f"encoder.layer.{layer}", hidden, mask)
    graph.add("Identity", hidden, name="last_hidden_state")
    tokens = ["batch_size", "sequence_length"]
    names = ("input_ids", "attention_mask", "token_type_ids")
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, tokens) for name in names]
    output = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*tokens, shape.hidden])
    return helper.make_model(
        helper.make_graph(graph.nodes, "bert", inputs, [output], graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="webinfer",
    )


def _embeddings(graph: _Graph, shape: BertShape) -> str:
    """Word, position and type embeddings, summed and normalised: [batch, sequence, hidden]."""
    words = graph.add("Gather", graph.weight("embeddings.word_embeddings.weight"), "input_ids")
    types = graph.add("Gather", graph.weight("embeddings.token_type_embeddings.weight"), "token_type_ids")
    length = graph.add("Shape", "input_ids", start=1, end=2)
    zero, first_axis = graph.constant([0], np.int64), graph.constant([0], np.int64)
    table = graph.weight("embeddings.position_embeddings.weight")
    positions = graph.add("Slice", table, zero, length, first_axis)
    summed = graph.add("Add", graph.add("Add", words, types), positions)
    return _normalise(graph, shape, "embeddings.LayerNorm", summed)


def _hidden_scores(graph: _Graph) -> str:
    """The bias of attention scores [batch, 1, 1, sequence]: 0 for a token, HIDDEN_SCORE for padding."""
    from onnx import TensorProto

    axes = graph.constant([1, 2], np.int64)
    present = graph.add("Cast", graph.add("Unsqueeze", "attention_mask", axes), to=TensorProto.FLOAT)
    absent = graph.add("Sub", graph.constant(1.0), present)
    return graph.add("Mul", absent, graph.constant(HIDDEN_SCORE))


def _layer(graph: _Graph, shape: BertShape, name: str, hidden: str, mask: str) -> str:
    """One encoder layer: attention and feed-forward, each with its residual and LayerNorm."""
    attended = _attention(graph, shape, f"{name}.attention.self", hidden, mask)
    projected = _dense(graph, f"{name}.attention.output.dense", attended)
    residual = graph.add("Add", projected, hidden)
    hidden = _normalise(graph, shape, f"{name}.attention.output.LayerNorm", residual)
    wide = _activate(graph, shape.activation, _dense(graph, f"{name}.intermediate.dense", hidden))
    residual = graph.add("Add", _dense(graph, f"{name}.output.dense", wide), hidden)
    return _normalise(graph, shape, f"{name}.output.LayerNorm", residual)


def _attention(graph: _Graph, shape: BertShape, name: str, hidden: str, mask: str) -> str:
    """softmax(Q K^T / sqrt(d) + mask) V over all heads: [batch, sequence, hidden]."""
    size = shape.hidden // shape.heads
    split = graph.constant([0, 0, shape.heads, size], np.int64)

    def heads(part: str, order: list[int]) -> str:
        flat = _dense(graph, f"{name}.{part}", hidden)
        return graph.add("Transpose", graph.add("Reshape", flat, split), perm=order)

    query, key, value = heads("query", [0, 2, 1, 3]), heads("key", [0, 2, 3, 1]), heads("value", [0, 2, 1, 3])
    scores = graph.add("Div", graph.add("MatMul", query, key), graph.constant(sqrt(size)))
    weights = graph.add("Softmax", graph.add("Add", scores, mask), axis=-1)
    mixed = graph.add("Transpose", graph.add("MatMul", weights, value), perm=[0, 2, 1, 3])
    return graph.add("Reshape", mixed, graph.constant([0, 0, shape.hidden], np.int64))


def _dense(graph: _Graph, name: str, hidden: str) -> str:
    kernel = graph.weight(f"{name}.weight", transposed=True)
    return graph.add("Add", graph.add("MatMul", hidden, kernel), graph.weight(f"{name}.bias"))


def _normalise(graph: _Graph, shape: BertShape, name: str, hidden: str) -> str:
    scale, bias = graph.weight(f"{name}.weight"), graph.weight(f"{name}.bias")
    return graph.add("LayerNormalization", hidden, scale, bias, axis=-1, epsilon=shape.epsilon)


def _activate(graph: _Graph, activation: str, hidden: str) -> str:
    """GELU as x (1 + erf(x / sqrt 2)) / 2, Hendrycks and Gimpel 2016 (arXiv:1606.08415); or ReLU."""
    if activation == "relu":
        return graph.add("Relu", hidden)
    scaled = graph.add("Erf", graph.add("Div", hidden, graph.constant(sqrt(2.0))))
    doubled = graph.add("Mul", hidden, graph.add("Add", scaled, graph.constant(1.0)))
    return graph.add("Mul", doubled, graph.constant(0.5))


@dataclass
class _Graph(GraphBuilder):
    """A graph with the weights that its nodes take by name."""

    weights: Weights = field(default_factory=dict)

    def weight(self, name: str, transposed: bool = False) -> str:
        """The constant that holds the weight `name`. Raises BadRequest if there is none."""
        if name not in self.weights:
            raise BadRequest(f"the weights have no tensor {name!r}; this is no complete BERT encoder")
        array = self.weights[name]
        return self.hold(name, name, array.T if transposed else array)
