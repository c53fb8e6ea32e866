"""The encoded bytes of an image or sound, as given or from a file of the producer; arrays as they are."""

from __future__ import annotations

import re
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadInput
from tasks.inputs.limits import InputLimits

_URL = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]+://")


def encoded_bytes(
    value: Any, limits: InputLimits, field: str, allowed: str, allow_paths: bool
) -> bytes | None:
    """The bytes in `value`, a bytes-like or a path; None when it is neither. Raises BadInput, TooLarge."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        limits.check_file(memoryview(value).nbytes, field)
        return _not_empty(bytes(value), field, allowed)
    if isinstance(value, (str, PathLike)):
        return _file_bytes(value, limits, field, allowed, allow_paths)
    return None


def plain_array(array: np.ndarray[Any, Any], field: str) -> np.ndarray[Any, Any]:
    """`array` without the ways of a subclass. Raises BadInput for a mask, which would be lost."""
    if isinstance(array, np.ma.MaskedArray):
        raise BadInput(field, "a masked array", "one without a mask: fill it first")
    return np.asarray(array)


def _file_bytes(
    value: str | PathLike[str], limits: InputLimits, field: str, allowed: str, allow_paths: bool
) -> bytes:
    text = fspath(value)
    if _URL.match(text):
        raise BadInput(field, f"the address {_short(text)}", f"{allowed}; addresses are not fetched")
    if not allow_paths:
        raise BadInput(field, "a path that comes from another task", f"{allowed}, but no path")
    try:
        return _read(Path(text).expanduser(), limits, field, allowed)
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput(field, f"{_short(text)}, which is no readable file ({reason})", allowed) from error


def _read(path: Path, limits: InputLimits, field: str, allowed: str) -> bytes:
    """The file's bytes, its size looked at first. No pipes, which would block, nor devices without end."""
    if path.exists() and not path.is_file():
        raise ValueError("not a regular file")
    limits.check_file(path.stat().st_size, field)
    with path.open("rb") as file:
        data = file.read(limits.max_file_bytes + 1)  # some files grow, or tell no size
    limits.check_file(len(data), field)
    return _not_empty(data, field, allowed)


def _not_empty(data: bytes, field: str, allowed: str) -> bytes:
    if not data:
        raise BadInput(field, "empty (0 bytes)", allowed)
    return data


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
