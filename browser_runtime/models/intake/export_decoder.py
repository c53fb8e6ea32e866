"""Builds the ONNX graph of a LLaMA-type decoder from weights that are read one by one, without torch.

The graph has the names of transformers.js' layouts, and the operators of onnxruntime that the graphs of the
Hub's onnx-community have: GroupQueryAttention with its rotation, RMSNorm as SimplifiedLayerNormalization, and
at 4 bits MatMulNBits. onnxruntime-web runs them on wasm and webgpu.

    input_ids                           int64 [batch_size, sequence_length]
    attention_mask                      int64 [batch_size, total_sequence_length]
    past_key_values.{layer}.key|value   float [batch_size, kv_heads, past_sequence_length, head_width]
    logits                              float32 [batch_size, sequence_length, vocabulary]
    present.{layer}.key|value           float [batch_size, kv_heads, total_sequence_length, head_width]

Numbers of the cache and between the layers are float16 in `fp16`, float32 in every other precision.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.low_bits.arrays import FloatArray
from browser_runtime.low_bits.reading.weights import DecoderWeights
from browser_runtime.low_bits.shape import DecoderShape
from browser_runtime.models.intake.graph_builder import Array, GraphBuilder

OPSET = 21
# onnx 1.16, of the same time as opset 21.
IR_VERSION = 10
CONTRIB = "com.microsoft"
# Longer texts would need a longer table of angles; pages keep half as many tokens at most.
MAX_POSITIONS = 4096
# Of onnxruntime's GroupQueryAttention.
HEAD_MULTIPLE = 16
# A protobuf message ends at 2 GiB.
MAX_WEIGHT_BYTES = 2_000_000_000
# As transformers.js' own scripts quantise: symmetric blocks, multiplied with activations of 8 bits.
BLOCK, ZERO_POINT, ACCURACY = 32, 8, 4
PRECISIONS = (Precision.FP32, Precision.FP16, Precision.INT8, Precision.Q4)


def export_decoder(weights: DecoderWeights, target: Path, precision: Precision = Precision.FP32) -> None:
    """Writes the decoder to `target` as ONNX, its matrices in `precision`; the embedding is not quantised.

    Raises BadInput for a precision that ONNX graphs do not come in, and for heads that the operator of
    attention does not take; BadRequest for over 2 GB.
    """
    import onnx

    if precision not in PRECISIONS:
        raise BadInput("precision", repr(str(precision)), f"one of {', '.join(PRECISIONS)}")
    if (width := weights.shape.head_width) % HEAD_MULTIPLE:
        raise BadInput("head_dim", str(width), f"a multiple of {HEAD_MULTIPLE} for an ONNX graph")
    model = decoder_model(weights, precision)
    target.parent.mkdir(parents=True, exist_ok=True)
    if (size_bytes := model.ByteSize()) > MAX_WEIGHT_BYTES:
        raise BadRequest(f"the graph takes {size_bytes} bytes, more than the {MAX_WEIGHT_BYTES} of one file")
    onnx.save_model(model, str(target))


def decoder_model(weights: DecoderWeights, precision: Precision) -> Any:
    """The `onnx.ModelProto` of the decoder."""
    from onnx import helper

    shape, graph = weights.shape, _DecoderGraph(weights=weights, precision=precision)
    hidden = graph.embed()
    for layer in range(shape.layers):
        hidden = _layer(graph, f"layers.{layer}.", layer, hidden)
    hidden = graph.normalise("norm", hidden)
    logits = graph.multiply("embedding" if shape.tied_head else "head", hidden)
    graph.add("Cast", logits, name="logits", to=graph.onnx_type(np.float32))
    made = helper.make_graph(graph.nodes, "decoder", graph.inputs(), graph.outputs(), graph.constants)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
    return helper.make_model(made, opset_imports=opsets, ir_version=IR_VERSION, producer_name="webinfer")


def _layer(graph: _DecoderGraph, here: str, layer: int, hidden: str) -> str:
    """One layer: attention and the gated feed-forward part, each with its norm and its residual."""
    normed = graph.normalise(f"{here}attention_norm", hidden)
    mixed = _attend(graph, here, layer, normed)
    hidden = graph.add("Add", hidden, graph.project(f"{here}o", mixed))
    normed = graph.normalise(f"{here}ffn_norm", hidden)
    gate = graph.project(f"{here}gate", normed)
    gated = graph.add("Mul", gate, graph.add("Sigmoid", gate))
    wide = graph.add("Mul", gated, graph.project(f"{here}up", normed))
    return graph.add("Add", hidden, graph.project(f"{here}down", wide))


def _attend(graph: _DecoderGraph, here: str, layer: int, normed: str) -> str:
    """Rotated, causal attention of grouped queries, the cache too: [batch, tokens, heads x width]."""
    shape = graph.weights.shape
    query, key = (graph.heads(f"{here}{name}", normed) for name in ("q", "k"))
    past = [f"past_key_values.{layer}.{side}" for side in ("key", "value")]
    inputs = [query, key, graph.project(f"{here}v", normed), *past, *graph.lengths(), *graph.angles()]
    outputs = [f"attention_{layer}", f"present.{layer}.key", f"present.{layer}.value"]
    graph.add_node(
        "GroupQueryAttention",
        inputs,
        outputs,
        domain=CONTRIB,
        num_heads=shape.heads,
        kv_num_heads=shape.kv_heads,
        do_rotary=1,
        rotary_interleaved=0,
    )
    return outputs[0]


@dataclass
class _DecoderGraph(GraphBuilder):
    """The graph of a decoder, its weights read when they are needed."""

    weights: DecoderWeights = field(kw_only=True)
    precision: Precision = Precision.FP32

    @property
    def number(self) -> type[np.generic]:
        """The type of the numbers between the nodes."""
        return np.float16 if self.precision is Precision.FP16 else np.float32

    def onnx_type(self, dtype: type[np.generic]) -> int:
        """ONNX' number for a type of NumPy's."""
        from onnx import helper

        return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def inputs(self) -> list[Any]:
        """The graph's inputs, the cache among them."""
        ids = self._value("input_ids", np.int64, ["batch_size", "sequence_length"])
        mask = self._value("attention_mask", np.int64, ["batch_size", "total_sequence_length"])
        return [ids, mask, *self._cache("past_key_values", "past_sequence_length")]

    def outputs(self) -> list[Any]:
        """The graph's outputs."""
        sizes = ["batch_size", "sequence_length", self.weights.shape.vocabulary]
        return [
            self._value("logits", np.float32, sizes),
            *self._cache("present", "total_sequence_length"),
        ]

    def _cache(self, name: str, length: str) -> list[Any]:
        shape = self.weights.shape
        sizes = ["batch_size", shape.kv_heads, length, shape.head_width]
        sides = [f"{name}.{layer}.{side}" for layer in range(shape.layers) for side in ("key", "value")]
        return [self._value(side, self.number, sizes) for side in sides]

    def _value(self, name: str, dtype: type[np.generic], sizes: list[Any]) -> Any:
        from onnx import helper

        return helper.make_tensor_value_info(name, self.onnx_type(dtype), sizes)

    def lengths(self) -> tuple[str, str]:
        """Tokens before the last one of each text, int32 [batch]; tokens of the longest one, int32 scalar."""
        if "lengths" not in self.known:
            axis, one = self.constant([1], np.int64), self.constant([1], np.int64)
            counted = self.add("Sub", self.add("ReduceSum", "attention_mask", axis, keepdims=0), one)
            total = self.add("Gather", self.add("Shape", "attention_mask"), self.constant(1, np.int64))
            to = self.onnx_type(np.int32)
            self.add("Cast", counted, name="last_positions", to=to)
            self.known["lengths"] = self.add("Cast", total, name="total_length", to=to)
        return "last_positions", "total_length"

    def angles(self) -> tuple[str, str]:
        """Cosines and sines of every position [positions, pairs]."""
        shape = self.weights.shape
        tables = shape.rope.angles(0, min(shape.max_positions, MAX_POSITIONS))
        names = ("cosines", "sines")
        cosines, sines = (
            self.hold(name, name, table.astype(self.number))
            for name, table in zip(names, tables, strict=True)
        )
        return cosines, sines

    def embed(self) -> str:
        """The embedding of each token [batch, tokens, width]."""
        table = self._tensor("embedding").astype(self.number)
        return self.add("Gather", self.hold("embedding", "embedding", table), "input_ids")

    def normalise(self, name: str, x: str) -> str:
        """RMSNorm along the last axis."""
        gain = self.hold(name, name, self._tensor(name).astype(self.number))
        epsilon = self.weights.shape.norm_epsilon
        return self.add(
            "SimplifiedLayerNormalization",
            x,
            gain,
            name=f"{name}_{len(self.nodes)}",
            axis=-1,
            epsilon=epsilon,
        )

    def heads(self, name: str, x: str) -> str:
        """A projection, each head of it normalised where the model does so."""
        projected, shape = self.project(name, x), self.weights.shape
        if not shape.qk_norms:
            return projected
        cut = self.add("Reshape", projected, self.constant([0, 0, -1, shape.head_width], np.int64))
        normed = self.normalise(f"{name}_norm", cut)
        return self.add("Reshape", normed, self.constant([0, 0, -1], np.int64))

    def project(self, name: str, x: str) -> str:
        """A product, and its bias where the model has one."""
        product = self.multiply(name, x)
        if not has_bias(self.weights.shape, name.rpartition(".")[2]):
            return product
        bias = f"{name}_bias"
        return self.add("Add", product, self.hold(bias, bias, self._tensor(bias).astype(self.number)))

    def multiply(self, name: str, x: str) -> str:
        """Rows times the matrix [out, in] of that name, in the graph's precision."""
        matrix = self._tensor(name)
        if self.precision is Precision.Q4:
            return self._multiply_blocks(name, x, matrix)
        if self.precision is Precision.INT8:
            return self._multiply_bytes(name, x, matrix)
        held = self.hold((name, "matrix"), f"{name}_matrix", matrix.T.astype(self.number))
        return self.add("MatMul", x, held)

    def _multiply_blocks(self, name: str, x: str, matrix: FloatArray) -> str:
        codes, scales = round_blocks(matrix)
        rows, columns = matrix.shape
        held = (
            self.hold((name, "q4"), f"{name}_q4", codes),
            self.hold((name, "s"), f"{name}_scales", scales),
        )
        sizes = {"N": rows, "K": columns, "bits": 4, "block_size": BLOCK, "accuracy_level": ACCURACY}
        return self.add("MatMulNBits", x, *held, domain=CONTRIB, **sizes)

    def _multiply_bytes(self, name: str, x: str, matrix: FloatArray) -> str:
        """Integers of 8 bits on both sides: the matrix with a scale a column, the rows with one for all."""
        largest = np.abs(matrix).max(axis=1)
        scales = np.where(largest > 0, largest / 127, 1).astype(np.float32)
        codes = np.rint(matrix / scales[:, None]).astype(np.int8)
        rounded = [f"{part}_{len(self.nodes)}" for part in ("bytes", "scale", "zero")]
        self.add_node("DynamicQuantizeLinear", [x], rounded)
        held = self.hold((name, "int8"), f"{name}_int8", codes.T)
        summed = self.add("MatMulInteger", rounded[0], held, rounded[2])
        floats = self.add("Cast", summed, to=self.onnx_type(np.float32))
        scale = self.add("Mul", self.hold((name, "s"), f"{name}_scales", scales), rounded[1])
        return self.add("Mul", floats, scale)

    def _tensor(self, name: str) -> FloatArray:
        return self.weights.read(name)


def has_bias(shape: DecoderShape, part: str) -> bool:
    """True if that product of a layer has a bias."""
    kinds = {"q": shape.qkv_biases, "k": shape.qkv_biases, "v": shape.qkv_biases, "o": shape.output_bias}
    return kinds.get(part, part in ("gate", "up", "down") and shape.mlp_biases)


def round_blocks(matrix: FloatArray) -> tuple[Array, Array]:
    """The matrix [rows, columns] in 4 bits: codes uint8 [rows, blocks, 16], scales float32 [rows x blocks].

    A number is (code - 8) scale; two codes a byte, the lower half first. The number of the largest magnitude
    becomes -8 scale, as onnxruntime's own quantiser has it.
    """
    rows, columns = matrix.shape
    blocks = np.pad(matrix, ((0, 0), (0, -columns % BLOCK))).reshape(rows, -1, BLOCK)
    at = np.abs(blocks).argmax(-1)[..., None]
    scales = (np.take_along_axis(blocks, at, -1) / -ZERO_POINT).astype(np.float32)
    codes = np.rint(blocks / np.where(scales == 0, 1, scales)) + ZERO_POINT
    halves = np.clip(codes, 0, 15).astype(np.uint8)
    return halves[..., ::2] | halves[..., 1::2] << 4, scales.reshape(-1)
