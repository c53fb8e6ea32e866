"""Plain values that the `webinfer models` commands print."""

from __future__ import annotations

from dataclasses import dataclass

from browser_runtime.contract.errors import BadRequest
from browser_runtime.models.files.integrity import FileCheck, sign_files
from browser_runtime.models.hub.catalogue import HubModel
from browser_runtime.models.manifest import StoredModel


@dataclass(frozen=True, slots=True)
class Listing:
    """One line of `webinfer models list`."""

    name: str
    family: str
    where: str
    """built-in, local, or hub: known, and fetched when first asked for."""
    precisions: tuple[str, ...]
    size_bytes: int | None
    revision: str
    source: str
    license: str
    problem: str = ""
    """The reason that the model cannot be used; empty if it can."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of `webinfer models verify`, file by file."""

    name: str
    revision: str
    files: tuple[FileCheck, ...]

    @property
    def whole(self) -> bool:
        """True when every file is what the manifest says."""
        return not any(check.problem for check in self.files)


@dataclass(frozen=True, slots=True)
class Removal:
    """The files that `webinfer models remove` deleted."""

    name: str
    n_files: int
    freed_bytes: int


def list_stored(model: StoredModel, where: str) -> Listing:
    """The line of a model that is here; its problem where a file is missing or of another size."""
    try:
        sign_files(model)
        problem = ""
    except BadRequest as error:
        problem = str(error)
    precisions = tuple(map(str, model.precisions))
    origin = (model.revision, model.source, model.license)
    return Listing(model.name, str(model.family), where, precisions, model.stored_bytes, *origin, problem)


def list_broken(name: str, where: str, problem: str) -> Listing:
    """The line of a model whose manifest cannot be used."""
    return Listing(name, "", where, (), None, "", "", "", problem)


def list_catalogued(entry: HubModel) -> Listing:
    """The line of a model that is not here and that the catalogue knows."""
    family = str(entry.family or "")
    return Listing(entry.name, family, "hub", (), None, entry.revision, entry.repository, entry.license)
