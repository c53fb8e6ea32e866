"""One ONNX graph in Python's onnxruntime, its foreign errors translated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadOutput, ModelFault
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.models.manifest import StoredModel

Array = np.ndarray[Any, np.dtype[Any]]

# onnxruntime's names for the types that graphs of the three families take.
DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}
# Errors only: a warning an operator cannot act on would fill the worker's log.
LOG_ERRORS = 3


def kernel_name() -> str:
    """What computes: the engine and its version."""
    import onnxruntime

    return f"onnxruntime {onnxruntime.__version__} (Python, CPU)"


def open_graphs(model: StoredModel, precision: Precision) -> dict[str, Graph]:
    """Every graph of the model in `precision`, by stem. Raises BadInput where it does not come in it."""
    return {
        stem: Graph(model.folder / graph.path, model.name) for stem, graph in model.graphs(precision).items()
    }


class Graph:
    """An open graph; safe to run from several threads. Raises ModelFault where onnxruntime cannot open it."""

    def __init__(self, path: Path, model: str) -> None:
        import onnxruntime

        self._model, self._name = model, path.name

        options = onnxruntime.SessionOptions()
        options.log_severity_level = LOG_ERRORS
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors share no base class but this
            raise self._fault("opening", error) from error
        self.inputs = {entry.name: entry for entry in self._session.get_inputs()}
        self.outputs = [entry.name for entry in self._session.get_outputs()]

    def run(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """The outputs by name, floats as float32; feeds the graph lacks are left out, the others cast.

        Raises ModelFault where onnxruntime fails.
        """
        wanted = {name: self._cast(name, array) for name, array in feeds.items() if name in self.inputs}
        try:
            results = self._session.run(None, wanted)
        except Exception as error:  # see above
            raise self._fault("running", error) from error
        return {name: _widen(result) for name, result in zip(self.outputs, results, strict=True)}

    def _cast(self, name: str, array: Array) -> Array:
        wanted = self.inputs[name].type
        if wanted not in DTYPES:
            raise ModelFault(self._model, f"{self._name} takes {wanted} for {name}, which no family has")
        return array.astype(DTYPES[wanted], copy=False)

    def _fault(self, doing: str, error: Exception) -> ModelFault:
        return ModelFault(self._model, f"{doing} {self._name} in Python's onnxruntime failed: {error}")


def _widen(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype == np.float16 else array


def require_finite(numbers: Array, what: str) -> Array:
    """`numbers` where all are finite. Raises BadOutput naming the first that is not."""
    odd = np.flatnonzero(~np.isfinite(numbers.reshape(-1)))
    if odd.size:
        raise BadOutput(f"{what} {odd[0]} is {numbers.reshape(-1)[odd[0]]}")
    return numbers
