"""What the ONNX graphs of encoders are made of, and the weights that they are made from, without torch.

Operators are those that onnxruntime-web runs natively on wasm, webgpu and WebNN (opset 17: fused
LayerNormalization, GELU through Erf). Attention and GELU are laid out as the PyTorch exporter lays them out,
because onnxruntime's own fusions look for that layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadRequest
from browser_runtime.models.intake.encoder_names import Weights
from browser_runtime.models.intake.graph_builder import GraphBuilder

# LayerNormalization came with 17; a later opset is not read by every onnxruntime-web in use.
OPSET = 17
# onnx 1.13, of the same time as opset 17.
IR_VERSION = 8
# A protobuf message ends at 2 GiB; larger encoders would need external data.
MAX_WEIGHT_BYTES = 2_000_000_000
# The same weights in 64 bits.
MAX_FILE_BYTES = 2 * MAX_WEIGHT_BYTES
ACTIVATIONS = ("gelu", "relu")


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


@dataclass
class EncoderGraph(GraphBuilder):
    """A graph with the weights that its nodes take by name."""

    weights: Weights = field(default_factory=dict)

    def weight(self, name: str, transposed: bool = False) -> str:
        """The constant that holds the weight `name`. Raises BadRequest if there is none."""
        if name not in self.weights:
            raise BadRequest(f"the weights have no tensor {name!r}; this is no complete encoder of its type")
        array = self.weights[name]
        return self.hold(name, name, array.T if transposed else array)

    def dense(self, name: str, hidden: str) -> str:
        """The rows times a matrix, and its bias."""
        kernel = self.weight(f"{name}.weight", transposed=True)
        return self.add("Add", self.add("MatMul", hidden, kernel), self.weight(f"{name}.bias"))

    def normalise(self, epsilon: float, name: str, hidden: str) -> str:
        """LayerNorm of the rows."""
        scale, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.add("LayerNormalization", hidden, scale, bias, axis=-1, epsilon=epsilon)

    def activate(self, activation: str, hidden: str) -> str:
        """GELU as x (1 + erf(x / sqrt 2)) / 2, Hendrycks and Gimpel 2016 (arXiv:1606.08415); or ReLU."""
        if activation == "relu":
            return self.add("Relu", hidden)
        scaled = self.add("Erf", self.add("Div", hidden, self.constant(sqrt(2.0))))
        doubled = self.add("Mul", hidden, self.add("Add", scaled, self.constant(1.0)))
        return self.add("Mul", doubled, self.constant(0.5))

    def attend(self, name: str, hidden: str, width: int, heads: int, mask: str = "") -> str:
        """softmax(Q K^T / sqrt(d) + mask) V over all heads: [batch, rows, width]."""
        size = width // heads
        split = self.constant([0, 0, heads, size], np.int64)

        def cut(part: str, order: list[int]) -> str:
            flat = self.dense(f"{name}.{part}", hidden)
            return self.add("Transpose", self.add("Reshape", flat, split), perm=order)

        query, key, value = cut("query", [0, 2, 1, 3]), cut("key", [0, 2, 3, 1]), cut("value", [0, 2, 1, 3])
        scores = self.add("Div", self.add("MatMul", query, key), self.constant(sqrt(size)))
        weights = self.add("Softmax", self.add("Add", scores, mask) if mask else scores, axis=-1)
        mixed = self.add("Transpose", self.add("MatMul", weights, value), perm=[0, 2, 1, 3])
        return self.add("Reshape", mixed, self.constant([0, 0, width], np.int64))


def save_encoder(model: Any, target: Path) -> None:
    """Writes an `onnx.ModelProto` to `target`. Raises BadRequest where its tensors do not fit each other."""
    import onnx

    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise BadRequest(f"the weights make no encoder of config.json's sizes: {error}") from error
    target.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(model, str(target))
