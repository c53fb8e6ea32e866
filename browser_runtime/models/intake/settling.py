"""The last step of every import: the revision of a model, and its place in the store."""

from __future__ import annotations

import hashlib

from browser_runtime.contract.errors import BadInput
from browser_runtime.models.manifest import ModelFile, StoredModel
from browser_runtime.models.store import BUILTIN_FOLDER, ModelStore

# Copying a few gigabytes on a slow disk, by whoever imports the same name at the same time.
LOCK_TIMEOUT_S = 600.0


def require_free_home(name: str, store: ModelStore) -> None:
    """Raises BadInput for a built-in's name, and for one that would lie inside another model or hold one."""
    if (BUILTIN_FOLDER / name).exists():
        raise BadInput("name", f"{name!r}, a built-in model", "another name")
    target = store.root / name
    if store.find(name) is None and target.exists() and any(target.iterdir()):
        raise BadInput("name", f"{name!r}, a folder of other things in the store", "another name")
    if "/" in name and store.find(name.split("/", maxsplit=1)[0]) is not None:
        raise BadInput("name", f"{name!r}, inside another model", "another name")


def hash_contents(files: dict[str, ModelFile]) -> str:
    """The first 16 hex digits of the SHA-256 over the lines "<sha256>  <path>\\n", sorted by path."""
    lines = "".join(f"{files[path].sha256}  {path}\n" for path in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def settle(model: StoredModel, store: ModelStore) -> StoredModel:
    """Moves the finished folder into the store. Raises BadInput if another model has the name."""
    target = store.root / model.name
    held = store.find(model.name)
    if held is not None and held.revision == model.revision:
        return held
    if held is not None:
        taken = f"{model.name!r}, which another model of the store has (revision {held.revision})"
        raise BadInput("name", taken, f"another name, or `webinfer models remove {model.name}` first")
    target.parent.mkdir(parents=True, exist_ok=True)
    model.folder.rename(target)
    found = store.find(model.name)
    assert found is not None
    return found
