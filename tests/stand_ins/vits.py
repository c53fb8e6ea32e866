"""The weights of digits-vit in safetensors, out of its graph, which transformers exported."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from browser_runtime.models.store import BUILTIN_FOLDER

DIGITS = BUILTIN_FOLDER / "digits-vit"
FILES = ("config.json", "preprocessor_config.json")


def read_vit_weights() -> dict[str, np.ndarray[Any, Any]]:
    """The tensors under transformers' names; a matrix has its name in the graph from the bias added to it."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(DIGITS / "onnx/model.onnx").graph
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    weights = {name.removeprefix("model."): tensor for name, tensor in held.items() if "::" not in name}
    products = {
        node.output[0]: node.input[1]
        for node in graph.node
        if node.op_type == "MatMul" and node.input[1] in held
    }
    for node in graph.node:
        for bias, product in (node.input, node.input[::-1]) if node.op_type == "Add" else ():
            if product in products:
                name = bias.removeprefix("model.").removesuffix("bias")
                weights[f"{name}weight"] = np.ascontiguousarray(held[products[product]].T)
    return weights


def write_vit(folder: Path, **changes: Any) -> Path:
    """A folder as transformers saves one, its config.json changed."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    for name in FILES:
        shutil.copyfile(DIGITS / name, folder / name)
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    save_file(read_vit_weights(), str(folder / "model.safetensors"))
    return folder
