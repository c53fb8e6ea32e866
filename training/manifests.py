"""A built-in model's folder on disk: its JSON files and its manifest `webinfer.json`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

BUILTIN = Path(__file__).parents[1] / "browser_runtime" / "models" / "builtin"
MANIFEST = "webinfer.json"
LICENSE = "Apache-2.0"


def write_json(path: Path, value: object) -> None:
    """`value` as indented UTF-8 JSON with a final newline at `path`; creates its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_manifest(
    folder: Path,
    *,
    family: str,
    source: str,
    settings: Mapping[str, object],
    examples: Sequence[Mapping[str, object]],
    weights: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """`webinfer.json` in `folder`: every file's hash and size, and a revision that follows the contents."""
    files = {path.relative_to(folder).as_posix(): describe(path) for path in list_files(folder)}
    write_json(
        folder / MANIFEST,
        {
            "name": folder.name,
            "family": family,
            "revision": hash_contents(files),
            "license": LICENSE,
            "source": source,
            "settings": settings,
            "files": files,
            **({} if weights is None else {"weights": weights}),
            "examples": examples,
        },
    )


def list_files(folder: Path) -> list[Path]:
    """Every file under `folder` but the manifest, sorted by path."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)


class FileEntry(TypedDict):
    """One file in the manifest."""

    sha256: str
    size_bytes: int


def describe(path: Path) -> FileEntry:
    """The file's SHA-256 and size in bytes."""
    content = path.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}


def hash_contents(files: Mapping[str, FileEntry]) -> str:
    """The first 16 hex digits of the SHA-256 over the lines "<sha256>  <path>\\n", sorted by path."""
    lines = "".join(f"{files[path]['sha256']}  {path}\n" for path in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()[:16]
