"""A stored model and its manifest `webinfer.json`: what the folder must hold, to the byte."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from browser_runtime.contract.errors import BadInput, BadRequest, InferenceError
from browser_runtime.contract.vocabulary import Family, Precision, check_model_name, parse_family
from browser_runtime.models.graphs import available_precisions

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
    """A model in the store, as its manifest tells."""

    name: str
    family: Family
    folder: Path
    revision: str
    """The Hub's commit, or a hash of the contents for a model that came from elsewhere."""
    settings: dict[str, Any]
    """For text_embedding: pooling ("mean" or "cls"), normalize (bool), max_tokens (int)."""
    precisions: tuple[Precision, ...]
    """The precisions that every graph of the family is there in."""
    files: dict[str, ModelFile]
    """By path relative to the folder, always with forward slashes."""
    source: str
    license: str
    extra: dict[str, Any] = field(default_factory=dict)
    """Whatever else the manifest tells, such as examples."""

    @property
    def size_bytes(self) -> int:
        """The size of all files together."""
        return sum(file.size_bytes for file in self.files.values())

    def require_family(self, family: Family) -> None:
        """Returns when the model is of that family. Raises BadInput."""
        if self.family is not family:
            raise BadInput("model_name", f"{self.name!r}, a model of {self.family}", f"a model of {family}")


def read_manifest(folder: Path, name: str) -> StoredModel:
    """The model `name` in `folder`. Raises BadRequest where the manifest is missing, broken or another's."""
    try:
        plain = json.loads(_read_text(folder / MANIFEST))
        model = _parse(folder, plain)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, InferenceError) as error:
        raise BadRequest(
            f"the manifest of model {name!r} cannot be used ({_reason(error)}); {repair(folder)}"
        ) from error
    if model.name != name:
        raise BadRequest(f"the manifest of model {name!r} names {model.name!r}; {repair(folder)}")
    return model


def repair(folder: Path) -> str:
    """What to tell whoever has a damaged model."""
    return f"remove {folder} and pull or import the model again"


def _read_text(path: Path) -> str:
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise ValueError(f"over {MAX_MANIFEST_BYTES} bytes")
    return path.read_text(encoding="utf-8")


def _reason(error: BaseException) -> str:
    return f"no field {error}" if isinstance(error, KeyError) else str(error)


def _parse(folder: Path, plain: dict[str, Any]) -> StoredModel:
    known = ("name", "family", "revision", "source", "license", "settings", "files")
    files = {check_path(path): _parse_file(path, entry) for path, entry in plain["files"].items()}
    family = parse_family(plain["family"], "family")
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
    )


def check_path(path: str) -> str:
    """`path` where it stays inside a model's folder. Raises ValueError for `..`, absolute or odd paths."""
    parts = PurePosixPath(path).parts
    plain = "/".join(parts) == path and not path.startswith("/") and "\\" not in path and "\0" not in path
    if not parts or not plain or ".." in parts:
        raise ValueError(f"the path {path!r} leaves the model's folder")
    return path


def _parse_file(path: str, entry: dict[str, Any]) -> ModelFile:
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
