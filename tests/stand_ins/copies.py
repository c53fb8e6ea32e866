"""Models of a store once more, under another name."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import replace

from browser_runtime.models.manifest import StoredModel, write_manifest
from browser_runtime.models.store import ModelStore


def copy_model(source: StoredModel, name: str, store: ModelStore, paths: Collection[str] = ()) -> StoredModel:
    """Those files of `source`, or all, as another model of the store, its manifest included."""
    folder = store.root / name
    kept = {path: file for path, file in source.files.items() if not paths or path in paths}
    for path in kept:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source.folder / path, folder / path)
    copied = replace(source, name=name, folder=folder, files=kept)
    write_manifest(copied)
    return copied
