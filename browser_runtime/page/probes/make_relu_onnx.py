"""Writes relu.onnx, the graph that proves the WASM backend: the numbers of problem.js, as ONNX.

python browser_runtime/page/probes/make_relu_onnx.py
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 4


def build_model() -> onnx.ModelProto:
    """y = relu(x W + b), with x of shape [1, 4]."""
    weights = (np.arange(SIZE * SIZE) * 5 % 7 - 3).astype(np.float32).reshape(SIZE, SIZE)
    bias = np.array([1, -60, 2, 3], np.float32)
    shape = [1, SIZE]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["xw"]),
            helper.make_node("Add", ["xw", "b"], ["sum"]),
            helper.make_node("Relu", ["sum"], ["y"]),
        ],
        "relu",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


if __name__ == "__main__":
    model = build_model()
    onnx.checker.check_model(model)
    onnx.save(model, Path(__file__).with_name("relu.onnx"))
