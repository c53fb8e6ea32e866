"""Graphs as other exporters write them: an ONNX file changed, its numbers kept, so right values are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Change = Callable[[Any], None]
"""What is done to an `onnx.ModelProto`."""


def rewrite(path: Path, *changes: Change) -> None:
    """Does the changes to the ONNX file at `path`, one after another."""
    model = onnx.load_model(str(path))
    for change in changes:
        change(model)
    path.write_bytes(model.SerializeToString())


def take_inputs_as(kind: int, *names: str) -> Change:
    """The inputs come in another type and are cast first: exporters write int32, floats and bools for ids."""

    def change(model: Any) -> None:
        for entry in model.graph.input:
            if not names or entry.name in names:
                own = entry.type.tensor_type.elem_type
                _rename_uses(model, entry.name, f"{entry.name}_cast")
                entry.type.tensor_type.elem_type = kind
                node = helper.make_node("Cast", [entry.name], [f"{entry.name}_cast"], to=own)
                model.graph.node.insert(0, node)

    return change


def fix_sizes(**sizes: int) -> Change:
    """The named dimensions have one size each."""

    def change(model: Any) -> None:
        for entry in (*model.graph.input, *model.graph.output):
            for dimension in entry.type.tensor_type.shape.dim:
                if dimension.dim_param in sizes:
                    dimension.dim_value = sizes[dimension.dim_param]

    return change


def drop_input(name: str, value: int) -> Change:
    """The graph fills the input in by itself, `value` everywhere."""

    def change(model: Any) -> None:
        kept = [entry for entry in model.graph.input if entry.name != name]
        del model.graph.input[:]
        model.graph.input.extend(kept)
        constant = numpy_helper.from_array(np.array([value], np.int64))
        nodes = [
            helper.make_node("Shape", ["input_ids"], [f"{name}_shape"]),
            helper.make_node("ConstantOfShape", [f"{name}_shape"], [name], value=constant),
        ]
        for node in reversed(nodes):
            model.graph.node.insert(0, node)

    return change


def take_positions(rows: str | int = "batch_size") -> Change:
    """The graph is told each token's position, as the input `position_ids`."""

    def change(model: Any) -> None:
        place = next(at for at, node in enumerate(model.graph.node) if node.op_type == "Slice")
        old = model.graph.node[place]
        gather = helper.make_node("Gather", [old.input[0], "position_ids"], list(old.output))
        model.graph.node.remove(old)
        model.graph.node.insert(place, gather)
        add_input("position_ids", TensorProto.INT64, [rows, "sequence_length"])(model)

    return change


def add_input(name: str, kind: int, shape: list[str | int]) -> Change:
    """One more input."""

    def change(model: Any) -> None:
        model.graph.input.append(helper.make_tensor_value_info(name, kind, shape))

    return change


def fill_weights(value: float, part: str) -> Change:
    """Every constant whose name holds `part` is `value` throughout."""

    def change(model: Any) -> None:
        for tensor in model.graph.initializer:
            if part in tensor.name:
                array = numpy_helper.to_array(tensor)
                tensor.CopyFrom(numpy_helper.from_array(np.full_like(array, value), tensor.name))

    return change


def pass_through(operator: str, domain: str = "", **attributes: Any) -> Change:
    """The first output goes through one more node."""

    def change(model: Any) -> None:
        output = model.graph.output[0].name
        for node in model.graph.node:
            for at, name in enumerate(node.output):
                if name == output:
                    node.output[at] = f"{output}_before"
        node = helper.make_node(operator, [f"{output}_before"], [output], domain=domain, **attributes)
        model.graph.node.append(node)

    return change


def turn_into(number: float) -> Change:
    """The first output is that number throughout, whatever goes in; NaN also where nothing was computed."""

    def change(model: Any) -> None:
        output = model.graph.output[0].name
        pass_through("Mul")(model)
        nodes = model.graph.node
        nodes[-1].input.append("nothing")
        nodes[-1].output[0] = f"{output}_nothing"
        nodes.append(helper.make_node("Add", [f"{output}_nothing", "number"], [output]))
        for name, value in (("nothing", 0.0), ("number", number)):
            model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))

    return change


def set_versions(ir: int | None = None, opset: int | None = None) -> Change:
    """The file says that it is of other versions."""

    def change(model: Any) -> None:
        model.ir_version = ir or model.ir_version
        model.opset_import[0].version = opset or model.opset_import[0].version

    return change


def loop_for_ever(model: Any) -> None:
    """The first output is known after 2^62 rounds."""
    output = model.graph.output[0].name
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["goes"]), helper.make_node("Identity", ["held"], ["holds"])],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("held", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("goes", TensorProto.BOOL, []),
            helper.make_tensor_value_info("holds", TensorProto.FLOAT, None),
        ],
    )
    constants = {"rounds": np.array(1 << 62), "yes": np.array(True)}
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    pass_through("Identity")(model)
    last = model.graph.node[-1]
    model.graph.node.remove(last)
    model.graph.node.append(
        helper.make_node("Loop", ["rounds", "yes", f"{output}_before"], [output], body=body)
    )


def take_all_memory(model: Any) -> None:
    """The first output is added to 2^40 zeros."""
    output = model.graph.output[0].name
    model.graph.initializer.append(numpy_helper.from_array(np.array([1 << 40]), "many"))
    pass_through("Identity")(model)
    last = model.graph.node[-1]
    model.graph.node.remove(last)
    model.graph.node.extend(
        [
            helper.make_node("ConstantOfShape", ["many"], ["zeros"]),
            helper.make_node("ReduceSum", ["zeros"], ["zero"], keepdims=0),
            helper.make_node("Add", [f"{output}_before", "zero"], [output]),
        ]
    )


def _rename_uses(model: Any, old: str, new: str) -> None:
    for node in model.graph.node:
        for at, name in enumerate(node.input):
            if name == old:
                node.input[at] = new
