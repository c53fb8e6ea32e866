"""Looks into ONNX files before they are taken in: whole, self-contained, and of the family's shape."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import BadRequest
from browser_runtime.contract.vocabulary import Family, Precision
from browser_runtime.models.graphs import STEMS, graph_paths
from browser_runtime.models.manifest import check_path

# Any one of these makes a graph one of its family; the page reads them by these names.
OUTPUTS: dict[str, dict[Family, tuple[str, ...]]] = {
    "model": {
        Family.TEXT_EMBEDDING: ("last_hidden_state", "token_embeddings"),
        Family.VISION: ("logits",),
    },
    "encoder_model": {Family.AUDIO: ("last_hidden_state",)},
    "decoder_model_merged": {Family.AUDIO: ("logits",)},
}


def require_graphs(
    name: str, folder: Path, family: Family, precision: Precision, paths: Iterable[str]
) -> None:
    """Returns when the graphs of `precision` are whole and fit the family. Raises BadRequest."""
    held = set(paths)
    graphs = graph_paths(family, precision, held) or ()
    for stem, path in zip(STEMS[family], graphs, strict=False):
        graph = read_graph(folder / path)
        _require_outputs(name, path, graph, OUTPUTS[stem][family])
        for location in external_locations(graph):
            _require_inside(name, path, location, held)


def read_graph(path: Path) -> Any:
    """The `onnx.ModelProto` in the file, external weights left where they are. Raises BadRequest."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        return onnx.load_model(str(path), load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        raise BadRequest(f"{path.name} is no whole ONNX file: {error}") from error


def external_locations(model: Any) -> set[str]:
    """The files that the graph's weights live in beside itself, as the graph names them."""
    from onnx import TensorProto

    return {
        entry.value
        for tensor in _tensors(model.graph)
        if tensor.data_location == TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }


def _tensors(graph: Any) -> Iterable[Any]:
    """Every constant of the graph and of the graphs inside its nodes (If, Loop)."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for inner in (attribute.g, *attribute.graphs):
            if inner.ByteSize():
                yield from _tensors(inner)


def _require_outputs(name: str, path: str, model: Any, wanted: tuple[str, ...]) -> None:
    outputs = [output.name for output in model.graph.output]
    if not set(wanted) & set(outputs):
        given = ", ".join(outputs) or "nothing"
        raise BadRequest(f"{path} of model {name!r} gives {given}, but {' or '.join(wanted)} is needed")


def _require_inside(name: str, path: str, location: str, held: set[str]) -> None:
    """External weights must lie beside their graph and belong to the model."""
    try:
        beside = (Path(path).parent / check_path(location)).as_posix()
    except ValueError as error:
        raise BadRequest(f"{path} of model {name!r} reads weights outside its folder: {error}") from error
    if beside not in held:
        raise BadRequest(f"{path} of model {name!r} needs its weights {beside}, which are missing")
