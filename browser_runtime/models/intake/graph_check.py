"""Looks into ONNX files before they are taken in: whole, self-contained, and of the family's shape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import BadRequest
from browser_runtime.contract.family_spec import FamilySpec
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.models.files.graphs import find_graphs
from browser_runtime.models.files.json_files import Json
from browser_runtime.models.files.paths import ForeignFolder, check_path

# A protobuf message ends there; what is larger keeps its weights in other files.
MAX_GRAPH_BYTES = (2 << 30) - 1
# What the vendored onnxruntime-web reads (held to it by tests/browser/test_odd_graphs.py); Python's is newer.
MAX_IR_VERSION = 13
MAX_OPSET = 26
ONNX_DOMAIN = ("", "ai.onnx")


def limit_tokens(settings: Json, most: object) -> Json:
    """The settings with `max_tokens` at most that many; as they are if one of the two is no number."""
    known = settings.get("max_tokens")
    if not isinstance(known, int) or not isinstance(most, int):
        return settings
    return settings | {"max_tokens": min(known, most)}


@dataclass
class Inspection:
    """The findings in a model's graphs."""

    weights: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The files that each graph keeps its weights in, by the graph's path."""
    columns: int | None = None
    """Tokens of a text, where a graph takes texts of one length alone."""

    def fit_settings(self, settings: Json) -> Json:
        """The settings, with no more tokens than the graphs take."""
        return settings if self.columns is None else limit_tokens(settings, self.columns)


def inspect_graphs(
    name: str, folder: Path, family: FamilySpec, precisions: Iterable[Precision], paths: Iterable[str]
) -> Inspection:
    """A look into the graphs of the model `name` in these precisions, all its files being `paths`.

    Raises BadRequest for a graph that is not whole, too new, does not fit the family, or lacks its weights.
    """
    held, found = set(paths), Inspection()
    for precision in precisions:
        graphs = find_graphs(family, precision, held) or {}
        for spec, path in ((spec, path) for spec, path in graphs.items() if spec.is_onnx):
            graph = read_graph(folder, path)
            _require_readable(name, path, graph)
            _require_outputs(name, path, graph, spec.outputs)
            found.weights[path] = list_weights(name, path, graph)
            for missing in set(found.weights[path]) - held:
                raise BadRequest(f"{path} of model {name!r} needs its weights {missing}, which are missing")
            if family.inputs.is_text:
                columns = [size for size in (found.columns, _fixed_columns(graph)) if size]
                found.columns = min(columns, default=None)
    return found


def _require_readable(name: str, path: str, graph: Any) -> None:
    """Raises BadRequest if the pages' onnxruntime does not know the file's format or operators yet."""
    if graph.ir_version > MAX_IR_VERSION:
        raise BadRequest(
            f"{path} of model {name!r} has IR version {graph.ir_version}, but browsers read up to "
            f"{MAX_IR_VERSION}: export it with an older onnx, or with ir_version={MAX_IR_VERSION}"
        )
    opset = max((entry.version for entry in graph.opset_import if entry.domain in ONNX_DOMAIN), default=1)
    if opset > MAX_OPSET:
        raise BadRequest(
            f"{path} of model {name!r} has opset {opset}, but browsers know up to {MAX_OPSET}: "
            f"export it with opset {MAX_OPSET} or below"
        )


def _fixed_columns(graph: Any) -> int | None:
    """The number of tokens that a text must have; None if the graph takes any."""
    for entry in graph.graph.input:
        sizes = [dimension.dim_value for dimension in entry.type.tensor_type.shape.dim]
        if entry.name == "input_ids" and len(sizes) == 2 and sizes[1] > 0:
            return int(sizes[1])
    return None


def read_graph(folder: Path, path: str) -> Any:
    """The `onnx.ModelProto` at `path` in `folder`, without its external weights. Raises BadRequest."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        return onnx.load_model_from_string(ForeignFolder.at(folder).read(path, MAX_GRAPH_BYTES))
    except (DecodeError, OSError, ValueError) as error:
        raise BadRequest(f"{path} is no whole ONNX file: {error}") from error


def list_weights(name: str, path: str, model: Any) -> tuple[str, ...]:
    """The files that the graph keeps its weights in, as paths in the folder of the model `name`.

    `path` is the graph's own. ONNX names weights by any path relative to the graph's folder. Raises
    BadRequest where one leads elsewhere.
    """
    folder = path.rpartition("/")[0]
    try:
        return tuple(
            sorted({f"{folder}/{_check_location(location)}" for location in external_locations(model)})
        )
    except ValueError as error:
        raise BadRequest(f"{path} of model {name!r} reads weights outside its folder: {error}") from error


def _check_location(location: str) -> str:
    """The location as a plain path; onnxruntime takes `./weights` too. Raises ValueError."""
    return check_path(location.removeprefix("./"))


def external_locations(model: Any) -> set[str]:
    """The files that the graph's weights live in beside itself, as the graph names them."""
    from onnx import TensorProto

    nodes = (node for function in model.functions for node in function.node)
    return {
        entry.value
        for tensor in (*_tensors(model.graph), *_attribute_tensors(nodes))
        if tensor.data_location == TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }


def _tensors(graph: Any) -> Iterator[Any]:
    """Every constant of the graph and of the graphs inside its nodes (If, Loop)."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _attribute_tensors(graph.node)


def _attribute_tensors(nodes: Iterable[Any]) -> Iterator[Any]:
    for attribute in (attribute for node in nodes for attribute in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        for inner in (attribute.g, *attribute.graphs):
            if inner.ByteSize():
                yield from _tensors(inner)


def _require_outputs(name: str, path: str, model: Any, wanted: tuple[str, ...]) -> None:
    outputs = [output.name for output in model.graph.output]
    if not set(wanted) & set(outputs):
        given = ", ".join(outputs) or "nothing"
        raise BadRequest(f"{path} of model {name!r} gives {given}, but {' or '.join(wanted)} is needed")
