"""A model folder's JSON files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import BadRequest


def read_json(path: Path) -> Any:
    """The JSON value in the file, {} where there is none. Raises BadRequest where it is broken."""
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadRequest(f"{path.name} is not JSON: {error}") from error


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in the file, {} where there is none. Raises BadRequest for anything else."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise BadRequest(f"{path.name} is {type(value).__name__} in JSON, but must be an object")
    return value
