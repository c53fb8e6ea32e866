"""ONNX graphs of one matrix product, for onnxruntime-web to be timed on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

BLOCK = 32
GRAPH_BITS = (2, 4, 32)
"""Those that onnxruntime-web multiplies with: MatMulNBits of 2 and 4 bits, MatMul of float32."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class ProductGraph:
    """y = x W^T as an ONNX file, and what W is."""

    content: bytes
    weights: Array
    """float64 [rows, columns]"""
    size_bytes: int
    """Of the weights as they are read, scales included."""


def make_product(bits: int, rows: int, columns: int) -> ProductGraph:
    """A graph with weights by chance; groups of 32, whose middle code stands for zero."""
    from onnx import TensorProto, helper, numpy_helper

    chance = np.random.default_rng(bits)
    if bits == 32:
        weights: Array = chance.standard_normal((rows, columns)).astype(np.float32)
        held = {"w": np.ascontiguousarray(weights.T)}
        node = helper.make_node("MatMul", ["x", "w"], ["y"])
    else:
        codes = chance.integers(0, 1 << bits, (rows, columns // BLOCK, BLOCK)).astype(np.uint8)
        scales = chance.uniform(0.01, 0.02, (rows, columns // BLOCK)).astype(np.float32)
        weights = ((codes.astype(np.float64) - (1 << (bits - 1))) * scales[..., None]).reshape(rows, columns)
        held = {"w": _join(codes, bits), "scales": scales.reshape(-1)}
        attributes: dict[str, Any] = {
            "K": columns,
            "N": rows,
            "bits": bits,
            "block_size": BLOCK,
            "accuracy_level": 4,
        }
        node = helper.make_node("MatMulNBits", ["x", *held], ["y"], domain="com.microsoft", **attributes)
    graph = helper.make_graph(
        [node],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["tokens", columns])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["tokens", rows])],
        [numpy_helper.from_array(array, name) for name, array in held.items()],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=9)
    size = sum(array.nbytes for array in held.values())
    return ProductGraph(model.SerializeToString(), weights, size)


def _join(codes: Array, bits: int) -> Array:
    """Codes [..., 32] in whole bytes, the first lowest."""
    per_byte = 8 // bits
    shifts = (np.arange(per_byte) * bits).astype(np.uint8)
    parts = codes.reshape(*codes.shape[:-1], -1, per_byte) << shifts
    joined: Array = np.bitwise_or.reduce(parts, axis=-1).astype(np.uint8)
    return joined
