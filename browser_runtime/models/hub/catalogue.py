"""The catalogue: short names and the Hub repositories that they stand for."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from browser_runtime.contract.families import find_row
from browser_runtime.contract.family_spec import FamilySpec
from browser_runtime.contract.vocabulary import check_model_name
from browser_runtime.models.files.json_files import Json

CATALOGUE = Path(__file__).with_name("catalogue.toml")


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model on the Hub. `family` None: read from the repository's config.json."""

    name: str
    repository: str
    revision: str = "main"
    family: FamilySpec | None = None
    license: str = ""
    settings: Json = field(default_factory=dict)


@cache
def read_catalogue() -> dict[str, HubModel]:
    """Every entry by its short name."""
    entries = tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))
    return {name: _parse(name, entry) for name, entry in entries.items()}


def _parse(name: str, entry: Mapping[str, Any]) -> HubModel:
    return HubModel(
        name=check_model_name(name, "name"),
        repository=check_model_name(entry["repository"], "repository"),
        revision=entry["revision"],
        family=find_row(entry["family"]),
        license=entry["license"],
        settings=entry.get("settings", {}),
    )


def find_hub_model(name: str) -> HubModel | None:
    """The catalogue entry of that name, or the repository `org/name` itself; None for any other name."""
    entry = read_catalogue().get(name)
    if entry is None and "/" in name:
        return HubModel(name, repository=name)
    return entry
