"""Builds the ONNX graph of a BERT encoder from its safetensors weights, without torch.

The graph is Devlin et al. 2018 (arXiv:1810.04805) as Hugging Face's `BertModel` computes it in evaluation
mode.

    input_ids, attention_mask, token_type_ids   int64 [batch_size, sequence_length]
    last_hidden_state                           float32 [batch_size, sequence_length, hidden_size]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadRequest
from browser_runtime.low_bits.encoder_shape import ATTENTION_RULES
from browser_runtime.low_bits.shape import FILE
from browser_runtime.models.configuration.fields import Fields
from browser_runtime.models.files.json_files import parse_object
from browser_runtime.models.intake.encoder_graph import (
    ACTIVATIONS,
    IR_VERSION,
    OPSET,
    EncoderGraph,
    read_weights,
    save_encoder,
)
from browser_runtime.models.intake.encoder_names import (
    BERT,
    BERT_TYPES,
    Weights,
    read_config,
    read_tensors,
)

# What hides a padded position from the softmax: BERT's own constant; unlike -inf it also fits float16.
HIDDEN_SCORE = -10_000.0


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
        """The sizes in `config`. Raises BadInput, BadRequest for what this exporter does not compute."""
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
    fields = Fields(FILE, config)
    for key, rule in ATTENTION_RULES.items():
        fields.read(key, False, rule)
    for name in ("hidden_size", "num_attention_heads", "num_hidden_layers"):
        if type(config.get(name)) is not int or config[name] < 1:
            raise BadRequest(f"config.json has no whole {name} from 1")


def export_bert(config: Path, weights: Sequence[Path], target: Path) -> None:
    """Writes the encoder of config.json at `config` and the safetensors files `weights` to `target` as ONNX.

    Raises BadRequest if it is no BERT, a tensor is missing or of another size, or there are over 2 GB.
    """
    plain = parse_object(config.read_bytes(), config.name)
    shape = BertShape.of(read_config(plain))
    save_encoder(bert_model(shape, read_tensors(plain, read_weights(weights))), target)


def bert_model(shape: BertShape, weights: Weights) -> Any:
    """The `onnx.ModelProto` of the encoder with these weights."""
    from onnx import TensorProto, helper

    graph = EncoderGraph(weights=weights)
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


def _embeddings(graph: EncoderGraph, shape: BertShape) -> str:
    """Word, position and type embeddings, summed and normalised: [batch, sequence, hidden]."""
    words = graph.add("Gather", graph.weight("embeddings.word_embeddings.weight"), "input_ids")
    types = graph.add("Gather", graph.weight("embeddings.token_type_embeddings.weight"), "token_type_ids")
    length = graph.add("Shape", "input_ids", start=1, end=2)
    zero, first_axis = graph.constant([0], np.int64), graph.constant([0], np.int64)
    table = graph.weight("embeddings.position_embeddings.weight")
    positions = graph.add("Slice", table, zero, length, first_axis)
    summed = graph.add("Add", graph.add("Add", words, types), positions)
    return graph.normalise(shape.epsilon, "embeddings.LayerNorm", summed)


def _hidden_scores(graph: EncoderGraph) -> str:
    """The bias of attention scores [batch, 1, 1, sequence]: 0 for a token, HIDDEN_SCORE for padding."""
    from onnx import TensorProto

    axes = graph.constant([1, 2], np.int64)
    present = graph.add("Cast", graph.add("Unsqueeze", "attention_mask", axes), to=TensorProto.FLOAT)
    absent = graph.add("Sub", graph.constant(1.0), present)
    return graph.add("Mul", absent, graph.constant(HIDDEN_SCORE))


def _layer(graph: EncoderGraph, shape: BertShape, name: str, hidden: str, mask: str) -> str:
    """One encoder layer: attention and feed-forward, each with its residual and LayerNorm."""
    attended = graph.attend(f"{name}.attention.self", hidden, shape.hidden, shape.heads, mask)
    projected = graph.dense(f"{name}.attention.output.dense", attended)
    residual = graph.add("Add", projected, hidden)
    hidden = graph.normalise(shape.epsilon, f"{name}.attention.output.LayerNorm", residual)
    wide = graph.activate(shape.activation, graph.dense(f"{name}.intermediate.dense", hidden))
    residual = graph.add("Add", graph.dense(f"{name}.output.dense", wide), hidden)
    return graph.normalise(shape.epsilon, f"{name}.output.LayerNorm", residual)
