"""Checks the files of a model against its manifest: sizes at every use, SHA-256 at the first one."""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path

from browser_runtime.contract.errors import BadRequest
from browser_runtime.models.manifest import ModelFile, StoredModel, repair

# (modification time in ns, size) by path: equal signatures mean that nobody touched the files since.
Signature = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class FileCheck:
    """The check of one file; `problem` is empty if the file is right."""

    path: str
    size_bytes: int
    problem: str = ""


def hash_file(path: Path) -> str:
    """The file's SHA-256 as 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def describe_file(path: Path) -> ModelFile:
    """The manifest's entry for the file as it is now."""
    return ModelFile(hash_file(path), path.stat().st_size)


def sign_files(model: StoredModel) -> Signature:
    """The signature of all files. Raises BadRequest for one that is missing or of another size."""
    signature = []
    for path, file in model.files.items():
        check = _check_size(model.folder, path, file)
        if check.problem:
            raise _refusal(model, check)
        signature.append(((model.folder / path).lstat().st_mtime_ns, check.size_bytes))
    return tuple(signature)


def check_model(model: StoredModel) -> tuple[FileCheck, ...]:
    """Every file held against its size and SHA-256."""
    return tuple(_check_hash(model.folder, path, file) for path, file in model.files.items())


def require_whole(model: StoredModel) -> None:
    """Returns when every file is what the manifest says. Raises BadRequest naming the first that is not."""
    for check in check_model(model):
        if check.problem:
            raise _refusal(model, check)


def require_size(model: StoredModel, path: str) -> None:
    """Returns when one file is there in its size. Raises BadRequest."""
    check = _check_size(model.folder, path, model.files[path])
    if check.problem:
        raise _refusal(model, check)


def _refusal(model: StoredModel, check: FileCheck) -> BadRequest:
    return BadRequest(f"model {model.name!r} is damaged: {check.path} {check.problem}; {repair(model.name)}")


def _check_size(folder: Path, path: str, file: ModelFile) -> FileCheck:
    try:
        found = (folder / path).lstat()
    except OSError as error:
        return FileCheck(path, 0, f"is missing ({error.strerror})")
    if not stat.S_ISREG(found.st_mode):
        return FileCheck(path, 0, "is no regular file")
    size_bytes = found.st_size
    if size_bytes < file.size_bytes:
        return FileCheck(path, size_bytes, f"is truncated: {size_bytes} of {file.size_bytes} bytes")
    if size_bytes > file.size_bytes:
        return FileCheck(path, size_bytes, f"is oversized: {size_bytes} instead of {file.size_bytes} bytes")
    return FileCheck(path, size_bytes)


def _check_hash(folder: Path, path: str, file: ModelFile) -> FileCheck:
    check = _check_size(folder, path, file)
    if check.problem or hash_file(folder / path) == file.sha256:
        return check
    return FileCheck(path, check.size_bytes, "is corrupt: its SHA-256 is not the manifest's")
