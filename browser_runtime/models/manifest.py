"""A stored model and its manifest `webinfer.json`: what the folder must hold, to the byte."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import BadInput, BadRequest, InferenceError
from browser_runtime.contract.families import find_row
from browser_runtime.contract.family_spec import FamilySpec
from browser_runtime.contract.vocabulary import Family, Precision, check_model_name
from browser_runtime.models.files.graphs import (
    GraphContent,
    GraphFiles,
    available_precisions,
    find_graphs,
    group_weights,
    hash_graph,
)
from browser_runtime.models.files.json_files import Json, read_object
from browser_runtime.models.files.paths import ForeignFolder, check_path, check_together

MANIFEST = "webinfer.json"
SHA256 = re.compile(r"[0-9a-f]{64}")
# A manifest lists a few dozen files; anything larger is not one.
MAX_MANIFEST_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model as it must be."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model in the store, as its manifest describes it."""

    name: str
    family: FamilySpec
    folder: Path
    revision: str
    """The Hub's commit, or a hash of the contents for a model that came from elsewhere."""
    settings: Json
    """For text_embedding: pooling ("mean" or "cls"), normalize (bool), max_tokens (int)."""
    precisions: tuple[Precision, ...]
    """The precisions that every graph of the family is there in."""
    files: dict[str, ModelFile]
    """By path relative to the folder, always with forward slashes."""
    source: str
    license: str
    extra: Json = field(default_factory=dict)
    """Other entries of the manifest, such as examples."""
    weights: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The files that a graph keeps its weights in beside itself, by the graph's path."""

    @property
    def version(self) -> str:
        """The revision as addresses and keys name it."""
        return self.revision[:12]

    @property
    def stored_bytes(self) -> int:
        """The size of all files together, those of every precision."""
        return sum(file.size_bytes for file in self.files.values())

    def graphs(self, precision: Precision) -> dict[str, GraphFiles]:
        """The graphs that run the model in `precision`, by stem. Raises BadInput if it has none."""
        found = find_graphs(self.family, precision, self.files)
        if found is None:
            there = ", ".join(self.precisions) or "nothing that can run"
            raise BadInput("precision", repr(str(precision)), f"what model {self.name!r} comes in: {there}")
        return {spec.stem: GraphFiles(path, self.weights.get(path, ())) for spec, path in found.items()}

    def contents(self, precision: Precision) -> dict[str, GraphContent]:
        """What a page loads of each graph for `precision`, by stem. Raises like `graphs`."""
        hashes = {path: file.sha256 for path, file in self.files.items()}
        return {
            stem: GraphContent(
                hash_graph(graph, hashes), sum(self.files[path].size_bytes for path in graph.paths)
            )
            for stem, graph in self.graphs(precision).items()
        }

    def loaded_bytes(self, precision: Precision) -> int:
        """The size of what a page loads for `precision`, graphs and weights. Raises like `graphs`."""
        return sum(content.size_bytes for content in self.contents(precision).values())

    @property
    def kind(self) -> str:
        """Its kind in sentences: its family, or what its files say where several kinds make one family."""
        return tell_kind(self.folder, self.family)

    def require_family(self, family: Family) -> None:
        """Returns if the model answers requests of that model type. Raises BadInput."""
        if family not in self.family.model_types:
            raise BadInput("model_name", f"{self.name!r}, a model of {self.kind}", f"a model of {family}")


def tell_kind(folder: Path, family: FamilySpec) -> str:
    """The kind of the model in `folder`: a SmolVLM's own, though its family is called llava."""
    known = family.recognition.model_types
    with suppress(InferenceError):
        kind = str(read_object(folder / "config.json").get("model_type"))
        if family.name in known and kind in known:
            return kind
    return family.name


def read_manifest(folder: Path, name: str) -> StoredModel:
    """The model `name` in `folder`. Raises BadRequest if the manifest is missing, broken or another's."""
    try:
        plain = json.loads(ForeignFolder.at(folder).read(MANIFEST, MAX_MANIFEST_BYTES))
        model = _parse(folder, plain)
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        InferenceError,
    ) as error:
        raise BadRequest(
            f"the manifest of model {name!r} cannot be used ({_reason(error)}); {repair(name)}"
        ) from error
    if model.name != name:
        raise BadRequest(f"the manifest of model {name!r} names {model.name!r}; {repair(name)}")
    return model


def repair(name: str) -> str:
    """The advice for a damaged model."""
    return f"run `webinfer models remove {name}` and pull or import it again"


def _reason(error: BaseException) -> str:
    return f"no field {error}" if isinstance(error, KeyError) else str(error)


def _parse(folder: Path, plain: Mapping[str, Any]) -> StoredModel:
    known = ("name", "family", "revision", "source", "license", "settings", "files", "weights")
    files = {check_path(path): _parse_file(path, entry) for path, entry in plain["files"].items()}
    check_together(files)
    family = find_row(plain["family"])
    return StoredModel(
        name=check_model_name(plain["name"], "name"),
        family=family,
        folder=folder,
        revision=str(plain["revision"]),
        settings=dict(plain["settings"]),
        precisions=available_precisions(family, files),
        files=files,
        source=str(plain["source"]),
        license=str(plain["license"]),
        extra={key: value for key, value in plain.items() if key not in known},
        weights=group_weights(files, _parse_weights(plain.get("weights"), files)),
    )


def _parse_weights(plain: Any, files: Collection[str]) -> dict[str, tuple[str, ...]] | None:
    """The weights by graph; None for manifests of versions that did not list them."""
    if plain is None:
        return None
    weights = {graph: tuple(paths) for graph, paths in plain.items()}
    for graph, paths in weights.items():
        folder = graph.rpartition("/")[0]
        if not {graph, *paths} <= set(files) or not all(path.startswith(f"{folder}/") for path in paths):
            raise ValueError(f"the weights of {graph!r} are no files beside it")
    return weights


def _parse_file(path: str, entry: Mapping[str, Any]) -> ModelFile:
    sha256, size_bytes = entry["sha256"], entry["size_bytes"]
    if not SHA256.fullmatch(sha256) or type(size_bytes) is not int or size_bytes < 0:
        raise ValueError(f"the entry of {path!r} is no SHA-256 with a size")
    return ModelFile(sha256, size_bytes)


def write_manifest(model: StoredModel) -> None:
    """Writes the model's manifest into its folder, whole or not at all."""
    plain = {
        "name": model.name,
        "family": str(model.family),
        "revision": model.revision,
        "source": model.source,
        "license": model.license,
        "settings": model.settings,
        "files": {
            path: {"sha256": file.sha256, "size_bytes": file.size_bytes}
            for path, file in sorted(model.files.items())
        },
        "weights": {graph: list(paths) for graph, paths in sorted(model.weights.items())},
        **model.extra,
    }
    fresh = model.folder / f".{MANIFEST}.new"
    fresh.write_text(json.dumps(plain, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    fresh.replace(model.folder / MANIFEST)


def list_paths(folder: Path) -> Iterable[str]:
    """Every file in `folder` but hidden ones and the manifest, relative, with forward slashes, in order."""
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in relative.parts)
        if path.is_file() and not hidden and relative.as_posix() != MANIFEST:
            yield relative.as_posix()
