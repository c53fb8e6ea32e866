"""Takes a model from this machine into the store: an ONNX file, or a Hugging Face folder."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from browser_runtime.contract.errors import BadInput, BadRequest, SetupError
from browser_runtime.contract.families import FAMILIES, TEXT_EMBEDDING, VISION
from browser_runtime.contract.family_spec import FamilySpec
from browser_runtime.contract.vocabulary import Precision, check_model_name
from browser_runtime.families.processor import check_files, find_processor
from browser_runtime.models.files.graphs import available_precisions, graph_paths, group_weights
from browser_runtime.models.files.integrity import describe_file, hash_file
from browser_runtime.models.files.json_files import MAX_JSON_BYTES, Json, parse_json, parse_object, read_json
from browser_runtime.models.files.locking import hold_lock, lock_path
from browser_runtime.models.files.paths import ForeignFolder, check_together
from browser_runtime.models.files.scratch import hold_scratch
from browser_runtime.models.hub.fetching import Prove
from browser_runtime.models.intake.encoder_names import VIT
from browser_runtime.models.intake.export_bert import export_bert
from browser_runtime.models.intake.export_vit import export_vit
from browser_runtime.models.intake.graph_check import inspect_graphs, list_weights, read_graph
from browser_runtime.models.intake.settling import LOCK_TIMEOUT_S, hash_contents, require_free_home, settle
from browser_runtime.models.intake.traits import complete_files, infer_family, require_files, wanted_files
from browser_runtime.models.intake.trial import try_model
from browser_runtime.models.manifest import StoredModel, tell_kind, write_manifest
from browser_runtime.models.store import ModelStore

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack")
# A model card's head is a few dozen lines.
MAX_HEAD_BYTES = 4096


Export = Callable[[Path, Sequence[Path], Path], None]
"""Writes the ONNX graph of a config.json and safetensors files."""
Pack = Callable[[list[Path], Path], list[str]]
"""Writes packed weights of safetensors files into a model's folder; their paths in it, the index first."""


@dataclass
class Parts:
    """The source of an import: its folder, and the files of it that become the model's."""

    home: ForeignFolder
    graphs: dict[str, str] = field(default_factory=dict)
    """Paths in the folder by the path in the store."""
    weights: tuple[str, ...] = ()
    """Safetensors files to export, where there are no graphs."""


@dataclass
class Intake:
    """Files on their way into a new model's folder, together at most `left_bytes` of them."""

    home: ForeignFolder
    folder: Path
    left_bytes: int
    paths: list[str] = field(default_factory=list)

    def copy(self, source: str, target: str, max_bytes: int | None = None) -> None:
        """Copies one file, once. Raises ValueError for what is no file inside, or too large."""
        if target not in self.paths:
            bound = min(self.left_bytes, self.left_bytes if max_bytes is None else max_bytes)
            self.left_bytes -= self.home.copy(source, self.folder / target, bound)
            self.paths.append(target)


def import_model(
    path: Path,
    name: str,
    family: FamilySpec | None = None,
    store: ModelStore | None = None,
    prove: Prove | None = None,
    pack: Pack | None = None,
) -> StoredModel:
    """The model at `path`, copied into the store under `name`, checked, with a manifest.

    `path` is an ONNX file with its JSON files beside it, a folder in transformers.js' or optimum's layout, or
    a folder with a BERT or a ViT in safetensors, which is exported to ONNX. Importing the same again changes
    nothing.
    `prove` is called with the model and its trial runs before it enters the store; it raises to keep it out.
    `pack` adds the same weights in fewer bits; there must be safetensors.

    Raises BadInput for a path, name or family that will not do, BadRequest for a model that is not whole.
    """
    store = store or ModelStore()
    require_free_home(check_model_name(name, "name"), store)
    parts = find_parts(path)
    with (
        hold_scratch(store.root) as scratch,
        hold_lock(lock_path(store.root, name), f"model {name!r}", time.monotonic() + LOCK_TIMEOUT_S),
    ):
        try:
            intake = Intake(parts.home, scratch / "model", store.max_bytes)
            model = _assemble(parts, name, family, intake, prove, pack)
        except OSError as error:
            raise SetupError(f"room or access for model {name!r}", f"copying it failed: {error}") from error
        except ValueError as error:
            raise BadRequest(f"model {name!r} cannot be imported: {error}") from error
        return settle(model, store)


def find_parts(path: Path) -> Parts:
    """The parts of the model at `path`. Raises BadInput if it is none that can be imported."""
    if path.is_file() and path.suffix == ".onnx":
        root = path.parent.parent if path.parent.name == "onnx" else path.parent
        return Parts(open_folder(root), {f"onnx/{_graph_name(path)}": path.relative_to(root).as_posix()})
    if not path.is_dir():
        raise BadInput("path", repr(str(path)), "an ONNX file or a folder with a model")
    home = open_folder(path)
    graphs = {f"onnx/{file.name}": file.name for file in path.glob("*.onnx")}
    graphs |= {f"onnx/{file.name}": f"onnx/{file.name}" for file in path.glob("onnx/*.onnx")}
    if graphs:
        return Parts(home, graphs)
    weights = tuple(sorted(file.name for file in path.glob("*.safetensors")))
    if weights:
        return Parts(home, weights=weights)
    pickled = sorted(file.name for pattern in PICKLES for file in path.glob(pattern))
    if pickled:
        wanted = "a folder with ONNX or safetensors files; pickles can run code and are never opened"
        raise BadInput("path", f"a folder that holds its weights in {pickled[0]}", wanted)
    raise BadInput("path", repr(str(path)), "a folder with ONNX or safetensors files")


def open_folder(root: Path) -> ForeignFolder:
    """The folder, whose links may not leave it.

    Those of a snapshot in the Hub's cache lead into its repository's folder, and may not leave that.
    """
    snapshot = root.resolve()
    repository = snapshot.parent.parent
    cached = snapshot.parent.name == "snapshots" and repository.name.startswith("models--")
    return ForeignFolder.at(root, repository if cached else root)


def _graph_name(path: Path) -> str:
    """The file's own name where transformers.js knows it, else model.onnx."""
    layouts = (graphs for family in FAMILIES.values() for graphs in family.layouts)
    specs = [graph for graphs in layouts for graph in graphs]
    known = {path for graph in specs for precision in Precision for path in graph.paths(precision)}
    return path.name if f"onnx/{path.name}" in known else "model.onnx"


def _assemble(
    parts: Parts,
    name: str,
    family: FamilySpec | None,
    intake: Intake,
    prove: Prove | None,
    pack: Pack | None,
) -> StoredModel:
    """The model, whole, with its manifest. Raises BadRequest or ValueError for what is missing or broken."""
    folder = intake.folder
    chosen = family or _read_family(parts.home, name)
    _copy_small_files(intake, chosen, name)
    check_files(folder, chosen)
    extra: Json = {}
    packed: list[str] = []
    if parts.weights:
        export = _find_exporter(parts, chosen, name, folder)
        extra["exported_from"] = _export(export, parts, intake)
        if pack is not None:
            packed = pack(_weight_files(parts), folder)
            intake.paths += packed
    elif pack is not None:
        raise BadInput("MODEL", repr(parts.home.root.name), "a folder with its weights in safetensors")
    else:
        _copy_graphs(parts, intake, chosen, name)
    intake.paths += complete_files(folder, chosen, intake.paths)
    precisions = available_precisions(chosen, intake.paths)
    if not precisions:
        sets = ([graph.stem for graph in graphs if graph.is_onnx] for graphs in chosen.layouts)
        stems = " or ".join(" and ".join(stems) for stems in sets if stems)
        raise BadRequest(f"{parts.home.root} has no {stems}.onnx, which {chosen} needs")
    found = inspect_graphs(name, folder, chosen, precisions, intake.paths)
    files = {path: describe_file(folder / path) for path in intake.paths}
    model = StoredModel(
        name=name,
        family=chosen,
        folder=folder,
        revision=hash_contents(files),
        settings=found.fit_settings(find_processor(chosen).read_settings(folder)),
        precisions=precisions,
        files=files,
        source=f"imported from {parts.home.root.name}",
        license=read_license(parts.home),
        extra=extra,
        weights=group_weights(files, found.weights | {path: tuple(packed[1:]) for path in packed[:1]}),
    )
    write_manifest(model)
    runs = try_model(model, precisions)
    if prove is not None:
        prove(model, runs)
    return model


def _read_family(home: ForeignFolder, name: str) -> FamilySpec:
    """The family that config.json shows. Raises BadInput if it shows none."""
    return infer_family(name, _read_config(home))


def _read_config(home: ForeignFolder) -> Json:
    """Its config.json; nothing where there is none."""
    found = home.find("config.json")
    return parse_object(home.read("config.json", MAX_JSON_BYTES), "config.json") if found else {}


def _copy_small_files(intake: Intake, family: FamilySpec, name: str) -> None:
    home = intake.home
    require_files(name, family, [path for path in family.files.known if home.find(path) is not None])
    named = wanted_files(family)
    _copy_json(intake, [path for path in named if path.endswith(".json")], family.files.listing)
    listing = read_json(intake.folder / family.files.listing) if family.files.listing else None
    beside = set(wanted_files(family, listing)) - {*intake.paths}
    for path in (path for path in named if not path.endswith(".json") and home.find(path) is not None):
        intake.copy(path, path, MAX_JSON_BYTES)
        beside.discard(path)
    weights = {path for path in beside if not path.endswith(".json")}
    _copy_json(intake, sorted(beside - weights), family.files.listing)
    for path in sorted(weights):
        if home.find(path) is not None:
            intake.copy(path, path)


def _copy_json(intake: Intake, paths: list[str], listing: str) -> None:
    """Copies the files that are there; `listing` holds a list. Raises BadRequest for a broken one."""
    for path in paths:
        if intake.home.find(path) is not None:
            intake.copy(path, path, MAX_JSON_BYTES)
            check = parse_json if path == listing else parse_object
            check((intake.folder / path).read_bytes(), path)


def _copy_graphs(parts: Parts, intake: Intake, family: FamilySpec, name: str) -> None:
    """Copies the family's graphs and the weights that they keep beside themselves, from nowhere else."""
    wanted = {path for precision in Precision for path in graph_paths(family, precision, parts.graphs) or ()}
    for target in sorted(wanted):
        intake.copy(parts.graphs[target], target)
    for target in sorted(wanted):
        folder = parts.graphs[target].rpartition("/")[0]
        for beside in list_weights(name, target, read_graph(intake.folder, target)):
            source = f"{folder}/{beside.removeprefix('onnx/')}".removeprefix("/")
            if parts.home.find(source) is None:
                raise BadRequest(f"{target} of model {name!r} needs its weights {source}, which are missing")
            check_together({*intake.paths, beside})
            intake.copy(source, beside)


def _find_exporter(parts: Parts, family: FamilySpec, name: str, folder: Path) -> Export:
    """What makes a graph of such weights. Raises BadRequest naming the graphs needed where nothing does."""
    if family is TEXT_EMBEDDING:
        return export_bert
    if family is VISION and _read_config(parts.home).get("model_type") == VIT:
        return export_vit
    stems = " and ".join(f"onnx/{graph.stem}.onnx" for graph in family.graphs if graph.is_onnx)
    raise BadRequest(
        f"model {name!r} is of type {tell_kind(folder, family)}, in safetensors, which is not exported to "
        f"ONNX here: {parts.home.root} needs {stems or 'its graphs'} too, which repositories of the Hub with "
        "the tag transformers.js have: `webinfer models pull ORG/NAME`"
    )


def _weight_files(parts: Parts) -> list[Path]:
    return [file for name in parts.weights if (file := parts.home.find(name)) is not None]


def _export(export: Export, parts: Parts, intake: Intake) -> dict[str, str]:
    """Writes the model's graph from its safetensors; their hashes by name. Raises BadRequest, ValueError."""
    files = _weight_files(parts)
    export(intake.folder / "config.json", files, intake.folder / "onnx" / "model.onnx")
    intake.paths.append("onnx/model.onnx")
    return {name: hash_file(file) for name, file in zip(parts.weights, files, strict=True)}


def read_license(home: ForeignFolder) -> str:
    """The licence in the head of README.md; "unknown" if it names none."""
    try:
        with home.open("README.md") as card:
            head = card.read(MAX_HEAD_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError):
        return "unknown"
    found = re.match(r"---\n(?:.*\n)*?license:[ ]*([\w.+-]+)[ ]*\n", head)
    return found[1] if found else "unknown"
