"""One ONNX graph in Python's onnxruntime, its foreign errors translated."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from browser_runtime.contract.errors import BadOutput, ModelFault
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.models.manifest import StoredModel
from browser_runtime.simulation.feeds import Array, GraphInput, fit_feeds

__all__ = [
    "Array",
    "Graph",
    "kernel_name",
    "open_graphs",
    "require_choice",
    "require_finite",
    "require_vector",
]

# Errors only: a warning an operator cannot act on would fill the worker's log.
LOG_ERRORS = 3


def kernel_name() -> str:
    """The engine and its version."""
    import onnxruntime

    return f"onnxruntime {onnxruntime.__version__} (Python, CPU)"


def open_graphs(model: StoredModel, precision: Precision) -> dict[str, Graph]:
    """Every graph of the model in `precision`, by stem. Raises BadInput if it does not come in it."""
    return {
        stem: Graph(model.folder / graph.path, model.name) for stem, graph in model.graphs(precision).items()
    }


class Graph:
    """An open graph; safe to run from several threads. Raises ModelFault if onnxruntime cannot open it."""

    def __init__(self, path: Path, model: str) -> None:
        import onnxruntime

        self.model, self._name = model, path.name

        options = onnxruntime.SessionOptions()
        options.log_severity_level = LOG_ERRORS
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors share no base class but this
            raise self._fault("opening", error) from error
        self.inputs = {entry.name: GraphInput.of(entry) for entry in self._session.get_inputs()}
        self.outputs = [entry.name for entry in self._session.get_outputs()]

    def run(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """The outputs by name, floats as float32; feeds that it does not take are left out, the others cast.

        Raises ModelFault if an input is missing or does not fit, or if onnxruntime fails.
        """
        wanted = fit_feeds(self.model, self.inputs, feeds)
        try:
            results = self._session.run(None, wanted)
        except Exception as error:  # see above
            raise self._fault("running", error) from error
        return {name: _widen(result) for name, result in zip(self.outputs, results, strict=True)}

    def _fault(self, doing: str, error: Exception) -> ModelFault:
        return ModelFault(self.model, f"{doing} {self._name} in Python's onnxruntime failed: {error}")


def _widen(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype == np.float16 else array


def require_choice(logits: Array) -> Array:
    """The logits of a token where they are finite and differ. Raises BadOutput: nothing is likeliest else."""
    require_finite(logits, "logit")
    if logits.size > 1 and not np.any(logits != logits.flat[0]):
        raise BadOutput(f"all {logits.size} logits of a token are equal")
    return logits


def require_vector(numbers: Array, what: str) -> Array:
    """`numbers` where all are finite and not all are zero. Raises BadOutput."""
    if not np.any(require_finite(numbers, what)):
        raise BadOutput("the embedding is all zeros")
    return numbers


def require_finite(numbers: Array, what: str) -> Array:
    """`numbers` where all are finite. Raises BadOutput naming the first that is not."""
    odd = np.flatnonzero(~np.isfinite(numbers.reshape(-1)))
    if odd.size:
        raise BadOutput(f"{what} {odd[0]} is {numbers.reshape(-1)[odd[0]]}")
    return numbers
