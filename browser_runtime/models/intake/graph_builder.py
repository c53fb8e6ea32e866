"""The nodes and constants of an ONNX graph in the making."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass
class GraphBuilder:
    """A graph that grows node by node; names are given out in order."""

    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    known: dict[Any, str] = field(default_factory=dict)

    def add(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Appends a node with one output; the output's name."""
        output = name or f"{operator}_{len(self.nodes)}"
        self.add_node(operator, inputs, [output], **attributes)
        return output

    def add_node(
        self, operator: str, inputs: tuple[str, ...] | list[str], outputs: list[str], **attributes: Any
    ) -> None:
        """Appends a node with the outputs named."""
        from onnx import helper

        self.nodes.append(helper.make_node(operator, list(inputs), outputs, name=outputs[0], **attributes))

    def constant(self, value: float | list[int], dtype: type[np.generic] = np.float32) -> str:
        """The constant of that value, made once."""
        return self.hold((repr(value), dtype), f"constant_{len(self.constants)}", np.asarray(value, dtype))

    def hold(self, key: Any, name: str, array: Array) -> str:
        """The constant that `key` stands for, made of `array` where it is new; its name."""
        from onnx import numpy_helper

        if key not in self.known:
            self.known[key] = name
            self.constants.append(
                numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
            )
        return self.known[key]
