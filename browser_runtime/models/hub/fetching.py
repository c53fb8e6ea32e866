"""One pull under way: its rules, its files, and the room that they take."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import SetupError, TooLarge
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.models.files.json_files import read_json
from browser_runtime.models.hub.catalogue import HubModel
from browser_runtime.models.hub.downloading import HubFile, Progress, download
from browser_runtime.models.hub.repository import Repository, repository_address
from browser_runtime.models.hub.settings import HubSettings
from browser_runtime.models.intake.trial import TrialRun
from browser_runtime.models.manifest import StoredModel

ReportProgress = Callable[[Progress], None]
Prove = Callable[[StoredModel, tuple[TrialRun, ...]], None]


@dataclass(frozen=True, slots=True)
class Pull:
    """One pull: what, where to, under which rules and until when (monotonic)."""

    model: HubModel
    precision: Precision | None
    """None: the family's usual one."""
    root: Path
    settings: HubSettings
    deadline: float
    report: ReportProgress | None
    prove: Prove | None = None
    """Called before the model enters the store; raises to keep it out."""

    @property
    def source(self) -> str:
        """The repository's address."""
        return repository_address(self.model, self.settings)


@dataclass(frozen=True, slots=True)
class Fetched:
    """The files of a model, all in its folder now."""

    paths: list[str]
    weights: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Of packed weights the shards, by their index."""


def peek(job: Pull, repository: Repository, folder: Path, path: str, held: Collection[str] = ()) -> Any:
    """The contents of a JSON file that the pull depends on; {} if the repository has none."""
    file = repository.files.get(path)
    if file is not None and path not in held:  # a file that is held is linked: nothing may write to it
        require_room(job, [file])
        download(file, folder / path, job.settings, job.deadline, lambda _: None)
    return read_json(folder / path)


def require_room(job: Pull, files: list[HubFile]) -> None:
    """Raises TooLarge or SetupError before a byte is fetched that could not be kept."""
    total = sum(file.size_bytes for file in files)
    if total > job.settings.max_model_bytes:
        raise TooLarge(f"model {job.model.name!r}", total, job.settings.max_model_bytes)
    job.root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(job.root).free
    if total > free:
        remedy = f"{total} bytes are needed and {free} are free in {job.root}"
        raise SetupError(f"room for model {job.model.name!r}", remedy)


def download_all(
    job: Pull,
    files: Sequence[HubFile],
    folder: Path,
    *,
    done: Sequence[HubFile] = (),
    rest_bytes: int = 0,
) -> None:
    """Downloads `files`; progress counts from those that are `done` to the `rest_bytes` that will follow."""
    before = sum(file.size_bytes for file in done)
    total = before + sum(file.size_bytes for file in files) + rest_bytes
    for file in files:

        def report(done_bytes: int, file: HubFile = file, before: int = before) -> None:
            if job.report is not None:
                job.report(Progress(job.model.name, file.path, before + done_bytes, total))

        download(file, folder / file.path, job.settings, job.deadline, report)
        before += file.size_bytes
