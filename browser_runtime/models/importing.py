"""Takes a model from this machine into the store: an ONNX file, or a Hugging Face folder."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import BadInput, BadRequest, SetupError
from browser_runtime.contract.vocabulary import Family, check_model_name
from browser_runtime.models.export_bert import export_bert
from browser_runtime.models.graph_check import external_locations, read_graph, require_graphs
from browser_runtime.models.graphs import STEMS, SUFFIXES, available_precisions
from browser_runtime.models.hub import PARTIAL_FOLDER
from browser_runtime.models.integrity import describe_file, hash_file
from browser_runtime.models.json_files import read_json
from browser_runtime.models.locking import hold_lock
from browser_runtime.models.manifest import ModelFile, StoredModel, check_path, list_paths, write_manifest
from browser_runtime.models.store import BUILTIN_FOLDER, LOCK_FOLDER, ModelStore
from browser_runtime.models.traits import REQUIRED, WANTED, infer_family, read_settings

# Copying a few gigabytes on a slow disk, by whoever imports the same name at the same time.
LOCK_TIMEOUT_S = 600.0
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack")


@dataclass
class Parts:
    """What an import is made of: files to copy, by their path in the store, and where they come from."""

    home: Path
    """The folder of config.json and the other small files."""
    graphs: dict[str, Path] = field(default_factory=dict)
    weights: Path | None = None
    """A folder of safetensors to export, where there are no graphs."""


def import_model(
    path: Path, name: str, family: Family | None = None, store: ModelStore | None = None
) -> StoredModel:
    """The model at `path`, copied into the store under `name`, checked, with a manifest.

    `path` is an ONNX file with its JSON files beside it, a folder in transformers.js' or optimum's layout, or
    a folder with a BERT in safetensors, which is exported to ONNX. Importing the same again changes nothing.

    Raises BadInput for a path, name or family that will not do, BadRequest for a model that is not whole.
    """
    store = store or ModelStore()
    _require_free_home(check_model_name(name, "name"), store)
    parts = find_parts(path)
    config = read_json(parts.home / "config.json")
    chosen = family or infer_family(name, config)
    lock = store.root / LOCK_FOLDER / f"{name.replace('/', '--')}.lock"
    (store.root / PARTIAL_FOLDER).mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=store.root / PARTIAL_FOLDER, prefix="import-") as scratch,
        hold_lock(lock, f"model {name!r}", time.monotonic() + LOCK_TIMEOUT_S),
    ):
        try:
            model = _assemble(parts, name, chosen, Path(scratch) / "model")
        except OSError as error:
            raise SetupError(f"room or access for model {name!r}", f"copying it failed: {error}") from error
        return _settle(model, store)


def _require_free_home(name: str, store: ModelStore) -> None:
    """Raises BadInput for a built-in's name, and for one that would lie inside another model or hold one."""
    if (BUILTIN_FOLDER / name).exists():
        raise BadInput("name", f"{name!r}, a built-in model", "another name")
    target = store.root / name
    if store.find(name) is None and target.exists() and any(target.iterdir()):
        raise BadInput("name", f"{name!r}, a folder of other things in the store", "another name")
    if "/" in name and store.find(name.split("/", maxsplit=1)[0]) is not None:
        raise BadInput("name", f"{name!r}, inside another model", "another name")


def find_parts(path: Path) -> Parts:
    """What is at `path`. Raises BadInput where it is no model that can be taken in."""
    if path.is_file() and path.suffix == ".onnx":
        home = path.parent.parent if path.parent.name == "onnx" else path.parent
        return Parts(home, {f"onnx/{_graph_name(path)}": path})
    if not path.is_dir():
        raise BadInput("path", repr(str(path)), "an ONNX file or a folder with a model")
    graphs = {f"onnx/{file.name}": file for folder in (path, path / "onnx") for file in folder.glob("*.onnx")}
    if graphs:
        return Parts(path, graphs)
    if any(path.glob("*.safetensors")):
        return Parts(path, weights=path)
    pickled = sorted(file.name for pattern in PICKLES for file in path.glob(pattern))
    if pickled:
        wanted = "a folder with ONNX or safetensors files; pickles can run code and are never opened"
        raise BadInput("path", f"a folder that holds its weights in {pickled[0]}", wanted)
    raise BadInput("path", repr(str(path)), "a folder with ONNX or safetensors files")


def _graph_name(path: Path) -> str:
    """The file's own name where transformers.js knows it, else model.onnx."""
    stems = {stem for stems in STEMS.values() for stem in stems}
    known = {f"{stem}{suffix}.onnx" for stem in stems for all_ in SUFFIXES.values() for suffix in all_}
    return path.name if path.name in known else "model.onnx"


def _assemble(parts: Parts, name: str, family: Family, folder: Path) -> StoredModel:
    """The model in `folder`, whole, with its manifest. Raises BadRequest for what is missing or broken."""
    _copy_small_files(parts.home, family, name, folder)
    extra: dict[str, Any] = {}
    if parts.weights is not None:
        export_bert(parts.weights, folder / "onnx" / "model.onnx")
        weights = sorted(parts.weights.glob("*.safetensors"))
        extra["exported_from"] = {file.name: hash_file(file) for file in weights}
    for target, source in parts.graphs.items():
        _copy_graph(name, source, folder / target)
    paths = list(list_paths(folder))
    precisions = available_precisions(family, paths)
    if not precisions:
        raise BadRequest(f"{parts.home} has no {' and '.join(STEMS[family])}.onnx, which {family} needs")
    for precision in precisions:
        require_graphs(name, folder, family, precision, paths)
    files = {path: describe_file(folder / path) for path in paths}
    model = StoredModel(
        name=name,
        family=family,
        folder=folder,
        revision=hash_contents(files),
        settings=read_settings(folder, family),
        precisions=precisions,
        files=files,
        source=f"imported from {parts.home.name}",
        license=read_license(parts.home),
        extra=extra,
    )
    write_manifest(model)
    return model


def _copy_small_files(home: Path, family: Family, name: str, folder: Path) -> None:
    missing = [path for path in REQUIRED[family] if not (home / path).is_file()]
    if missing:
        raise BadRequest(f"model {name!r} has no {', '.join(missing)} in {home}, which {family} needs")
    for path in WANTED[family]:
        if (home / path).is_file():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(home / path, folder / path)


def _copy_graph(name: str, source: Path, target: Path) -> None:
    """Copies a graph and the weights that it keeps beside itself, never from anywhere else."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for location in external_locations(read_graph(source)):
        try:
            beside = source.parent / check_path(location)
        except ValueError as error:
            raise BadRequest(f"{source.name} of model {name!r} reads weights outside: {error}") from error
        if not beside.is_file():
            raise BadRequest(
                f"{source.name} of model {name!r} needs its weights {location}, which are missing"
            )
        (target.parent / location).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(beside, target.parent / location)
    shutil.copyfile(source, target)


def hash_contents(files: dict[str, ModelFile]) -> str:
    """The first 16 hex digits of the SHA-256 over the lines "<sha256>  <path>\\n", sorted by path."""
    lines = "".join(f"{files[path].sha256}  {path}\n" for path in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def read_license(home: Path) -> str:
    """What the head of README.md names; "unknown" where it names nothing."""
    card = home / "README.md"
    head = card.read_text(encoding="utf-8", errors="replace")[:4096] if card.is_file() else ""
    found = re.match(r"---\n(?:.*\n)*?license:[ ]*([\w.+-]+)[ ]*\n", head)
    return found[1] if found else "unknown"


def _settle(model: StoredModel, store: ModelStore) -> StoredModel:
    """Moves the finished folder into the store. Raises BadInput where another model has the name."""
    target = store.root / model.name
    held = store.find(model.name)
    if held is not None and held.revision == model.revision:
        return held
    if held is not None:
        taken = f"{model.name!r}, which another model of the store has (revision {held.revision})"
        raise BadInput("name", taken, f"another name, or {target} removed first")
    target.parent.mkdir(parents=True, exist_ok=True)
    model.folder.rename(target)
    found = store.find(model.name)
    assert found is not None
    return found
