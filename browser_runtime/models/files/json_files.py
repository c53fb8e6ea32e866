"""A model folder's JSON files, read with bounds or refused by name: somebody else wrote them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Never

from browser_runtime.contract.errors import BadRequest

# The largest tokenizers, with 256,000 pieces, take 35 MB.
MAX_JSON_BYTES = 64 << 20

Json = dict[str, object]
"""The object of a JSON file, whose values may be anything."""


def read_json(path: Path) -> Any:
    """The JSON value in the file, {} if there is none. Raises BadRequest if it is broken."""
    if not path.is_file():
        return {}
    with path.open("rb") as stream:
        return parse_json(stream.read(MAX_JSON_BYTES + 1), path.name)


def read_object(path: Path) -> Json:
    """The JSON object in the file, {} if there is none. Raises BadRequest for anything else."""
    return _require_object(read_json(path), path.name)


def parse_object(content: bytes, name: str) -> Json:
    """The JSON object of the file `name`. Raises BadRequest for anything else."""
    return _require_object(parse_json(content, name), name)


def parse_json(content: bytes, name: str) -> Any:
    """The JSON value of the file `name`, read as browsers read it. Raises BadRequest if it is broken."""
    if len(content) > MAX_JSON_BYTES:
        raise BadRequest(f"{name} holds more than the {MAX_JSON_BYTES} bytes of JSON allowed")
    try:
        return json.loads(content.decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError as error:
        raise BadRequest(f"{name} is nested too deeply") from error
    except ValueError as error:
        raise BadRequest(f"{name} is not JSON: {error}") from error


def _require_object(value: object, name: str) -> Json:
    if not isinstance(value, dict):
        raise BadRequest(f"{name} is {type(value).__name__} in JSON, but must be an object")
    return value


def _refuse_constant(word: str) -> Never:
    """Python's json reads NaN and Infinity, which no browser does."""
    raise ValueError(f"{word} is no number in JSON")
