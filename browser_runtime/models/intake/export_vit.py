"""Builds the ONNX graph of a ViT classifier from its safetensors weights, without torch.

The graph is Dosovitskiy et al. 2020 (arXiv:2010.11929) as Hugging Face's `ViTForImageClassification` computes
it in evaluation mode.

    pixel_values   float32 [batch_size, channels, height, width]
    logits         float32 [batch_size, classes]
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from browser_runtime.low_bits.encoder_shape import EncoderShape, ImageInput
from browser_runtime.models.files.json_files import parse_object
from browser_runtime.models.intake.encoder_graph import (
    IR_VERSION,
    OPSET,
    EncoderGraph,
    read_weights,
    save_encoder,
)
from browser_runtime.models.intake.encoder_names import VIT, Weights, read_tensors


def export_vit(config: Path, weights: Sequence[Path], target: Path) -> None:
    """Writes the classifier of the file `config` and the safetensors files `weights` to `target` as ONNX.

    Raises BadInput for what is no ViT that is computed here, BadRequest if a tensor is missing or of another
    size, or there are over 2 GB.
    """
    plain = parse_object(config.read_bytes(), config.name)
    shape = EncoderShape.of(plain)
    save_encoder(vit_model(shape, read_tensors(plain, read_weights(weights))), target)


def vit_model(shape: EncoderShape, weights: Weights) -> Any:
    """The `onnx.ModelProto` of the classifier with these weights, named as in `encoder_file.IMAGE_NAMES`."""
    from onnx import TensorProto, helper

    image = shape.input
    assert isinstance(image, ImageInput), "a ViT reads images"
    graph = EncoderGraph(weights=weights)
    hidden = _embed(graph, shape.width, image)
    for layer in range(shape.layers):
        hidden = _add_layer(graph, shape, f"encoder.layer.{layer}", hidden)
    hidden = graph.normalise(shape.norm_epsilon, "layernorm", hidden)
    first = graph.add("Gather", hidden, graph.constant(0, np.int64), axis=1)
    graph.add("Identity", graph.dense("classifier", first), name="logits")
    sizes: list[str | int | None] = ["batch_size", image.channels, image.height, image.width]
    pixels = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, sizes)
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch_size", image.classes])
    return helper.make_model(
        helper.make_graph(graph.nodes, VIT, [pixels], [logits], graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="webinfer",
    )


def _embed(graph: EncoderGraph, width: int, image: ImageInput) -> str:
    """The class token and the patches, with their positions: [batch, 1 + patches, width]."""
    name = "embeddings.patch_embeddings.projection"
    weight, bias = graph.weight(f"{name}.weight"), graph.weight(f"{name}.bias")
    sides = [image.patch, image.patch]
    planes = graph.add("Conv", "pixel_values", weight, bias, kernel_shape=sides, strides=sides)
    flat = graph.add("Reshape", planes, graph.constant([0, width, -1], np.int64))
    patches = graph.add("Transpose", flat, perm=[0, 2, 1])
    rows = graph.add("Shape", "pixel_values", start=0, end=1)
    one = graph.add("Concat", rows, graph.constant([1, width], np.int64), axis=0)
    first = graph.add("Expand", graph.weight("embeddings.cls_token"), one)
    hidden = graph.add("Concat", first, patches, axis=1)
    return graph.add("Add", hidden, graph.weight("embeddings.position_embeddings"))


def _add_layer(graph: EncoderGraph, shape: EncoderShape, name: str, hidden: str) -> str:
    """Attention and feed-forward, each behind its LayerNorm and added to what came in."""
    normed = graph.normalise(shape.norm_epsilon, f"{name}.layernorm_before", hidden)
    attended = graph.attend(f"{name}.attention.attention", normed, shape.width, shape.heads)
    hidden = graph.add("Add", graph.dense(f"{name}.attention.output.dense", attended), hidden)
    normed = graph.normalise(shape.norm_epsilon, f"{name}.layernorm_after", hidden)
    wide = graph.activate(shape.activation, graph.dense(f"{name}.intermediate.dense", normed))
    return graph.add("Add", graph.dense(f"{name}.output.dense", wide), hidden)
