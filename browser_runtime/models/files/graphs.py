"""The graph files of a family, by precision, under transformers.js' names, and the weights beside them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from browser_runtime.contract.family_spec import FamilySpec, GraphSpec
from browser_runtime.contract.vocabulary import Precision


@dataclass(frozen=True, slots=True)
class GraphFiles:
    """The files of one graph, as paths in the model's folder."""

    path: str
    weights: tuple[str, ...]
    """Files with weights of the graph; each lies beside the graph, or in a folder beside it."""

    @property
    def paths(self) -> tuple[str, ...]:
        """All of them, the graph first."""
        return (self.path, *self.weights)

    def name_weights(self) -> dict[str, str]:
        """The weights' paths by the name that the graph itself has for each."""
        folder = PurePosixPath(self.path).parent
        return {PurePosixPath(path).relative_to(folder).as_posix(): path for path in self.weights}


@dataclass(frozen=True, slots=True)
class GraphContent:
    """What a page holds of one opened graph, whatever it is called."""

    hash: str
    """Equal for graphs that are the same to the bit, with their weights."""
    size_bytes: int


def hash_graph(graph: GraphFiles, hashes: Mapping[str, str]) -> str:
    """The hash of a graph with its weights: its file's own where it has no others."""
    if not graph.weights:
        return hashes[graph.path]
    named = sorted((name, hashes[path]) for name, path in graph.name_weights().items())
    return hashlib.sha256(json.dumps([hashes[graph.path], named]).encode()).hexdigest()


def find_graphs(
    family: FamilySpec, precision: Precision, paths: Collection[str]
) -> dict[GraphSpec, str] | None:
    """The graph files that run `family` in `precision`, in the row's order; None if `paths` lacks one.

    Where a model comes in several layouts, those of the first that is whole.
    """
    for graphs in family.layouts:
        found = {
            graph: next((path for path in graph.paths(precision) if path in paths), "") for graph in graphs
        }
        if all(found.values()):
            return found
    return None


def graph_paths(family: FamilySpec, precision: Precision, paths: Collection[str]) -> tuple[str, ...] | None:
    """The paths of `find_graphs`."""
    found = find_graphs(family, precision, paths)
    return None if found is None else tuple(found.values())


def guess_weights(graph: str, paths: Collection[str]) -> tuple[str, ...]:
    """The weights of `graph` among `paths` by their usual names: `model.onnx_data`, `model.onnx_data_1`, ...

    Only for what was not looked into: a graph may name its weights as it likes.
    """
    return tuple(sorted(path for path in paths if path.startswith((f"{graph}_data", f"{graph}.data"))))


def group_weights(
    paths: Collection[str], known: Mapping[str, tuple[str, ...]] | None = None
) -> dict[str, tuple[str, ...]]:
    """The weights by graph, for the graphs that have any: as `known`, or as guessed from `paths`."""
    if known is not None:
        return {graph: weights for graph, weights in known.items() if weights}
    graphs = (path for path in paths if path.endswith(".onnx"))
    return {graph: weights for graph in graphs if (weights := guess_weights(graph, paths))}


def available_precisions(family: FamilySpec, paths: Collection[str]) -> tuple[Precision, ...]:
    """The precisions that every graph of the family is there in."""
    return tuple(precision for precision in Precision if graph_paths(family, precision, paths))
