"""Pulls models from the Hugging Face Hub into the store: pinned, verified, and visible only when whole."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import BadRequest, SetupError, TooLarge, UnknownModel
from browser_runtime.contract.vocabulary import Family, Precision
from browser_runtime.models.catalogue import HubModel
from browser_runtime.models.downloading import HubFile, Progress, download
from browser_runtime.models.graph_check import require_graphs
from browser_runtime.models.graphs import available_precisions
from browser_runtime.models.hub_settings import HubSettings
from browser_runtime.models.integrity import describe_file
from browser_runtime.models.json_files import read_json
from browser_runtime.models.manifest import StoredModel, list_paths, write_manifest
from browser_runtime.models.traits import choose_files, infer_family, read_settings

# Hidden: no model's name starts with a dot.
PARTIAL_FOLDER = ".partial"

TellProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Repository:
    """A Hub repository at one commit."""

    commit: str
    files: dict[str, HubFile]
    license: str
    pipeline: str | None


@dataclass(frozen=True, slots=True)
class Pull:
    """One pull: what, where to, under which rules and until when (monotonic)."""

    model: HubModel
    precision: Precision
    root: Path
    settings: HubSettings
    deadline: float
    tell: TellProgress | None

    @property
    def source(self) -> str:
        """The repository's address."""
        return f"{self.settings.endpoint.rstrip('/')}/{self.model.repository}"


def pull(order: Pull) -> StoredModel:
    """The model, fetched anew to `root/name`. The caller holds the lock of this name.

    Raises UnknownModel where the Hub has no such repository, SetupError where it cannot be had now (offline,
    unreachable, deadline, disk), TooLarge, and BadRequest where it does not hold what its family needs.
    """
    repository = look_up(order)
    folder = _partial_folder(order, repository.commit)
    family = _family(order, repository, folder)
    paths = choose_files(order.model.name, family, order.precision, list(repository.files))
    model = _fetch(order, repository, folder, family, paths)
    for path in set(list_paths(folder)) - set(model.files):
        (folder / path).unlink()  # what a pull of another precision left when it was given up
    target = order.root / model.name
    target.parent.mkdir(parents=True, exist_ok=True)
    _replace_folder(folder, target)
    return replace(model, folder=target)


def _partial_folder(order: Pull, commit: str) -> Path:
    """Where the pull gathers its files, and finds what an earlier one left; those of other commits go."""
    home, name = order.root / PARTIAL_FOLDER, order.model.name.replace("/", "--")
    for old in home.glob(f"{name}@*"):
        if old.name != f"{name}@{commit}":
            shutil.rmtree(old)
    return home / f"{name}@{commit}"


def pull_precision(order: Pull, held: StoredModel) -> StoredModel:
    """The model with one more precision, from the commit that it came from. The caller holds the lock."""
    repository = look_up(order)
    paths = choose_files(held.name, held.family, order.precision, list(repository.files))
    fresh = [path for path in paths if path not in held.files]
    folder = _partial_folder(order, repository.commit)
    part = _fetch(order, repository, folder, held.family, fresh)
    for path in fresh:
        (held.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).replace(held.folder / path)
    files = held.files | part.files
    model = replace(held, files=files, precisions=available_precisions(held.family, files))
    write_manifest(model)  # last: until then the new files belong to nobody
    shutil.rmtree(folder)
    return model


def look_up(order: Pull) -> Repository:
    """The repository at its pinned commit, or at the commit its branch is at now."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import OfflineModeIsEnabled

    settings, model = order.settings, order.model
    if settings.offline:
        raise offline_refusal(model.name)
    token = settings.token.get_secret_value() if settings.token else False
    api = HfApi(endpoint=settings.endpoint.rstrip("/"), token=token, library_name="webinfer")
    try:
        info = api.model_info(
            model.repository,
            revision=model.revision,
            files_metadata=True,
            timeout=min(settings.silence_timeout_s, max(order.deadline - time.monotonic(), 0.1)),
        )
    except OfflineModeIsEnabled as error:
        raise offline_refusal(model.name) from error
    except Exception as error:
        raise _translate(error, order) from error
    return _repository(info, order)


def offline_refusal(name: str) -> SetupError:
    """What to tell where the model is not here and must not be fetched."""
    return SetupError(
        f"model {name!r}",
        "HF_HUB_OFFLINE forbids fetching it: unset it, or bring the model in with `webinfer models import`",
    )


def _translate(error: Exception, order: Pull) -> Exception:
    import httpx2
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    model, endpoint = order.model, order.settings.endpoint
    if isinstance(error, GatedRepoError):
        return SetupError(
            f"model {model.name!r}", f"{model.repository} is gated: accept its terms and set HF_TOKEN"
        )
    if isinstance(error, RepositoryNotFoundError):
        return UnknownModel(repr(model.name), f"{endpoint} has no repository {model.repository}")
    if isinstance(error, RevisionNotFoundError):
        return UnknownModel(repr(model.name), f"{model.repository} has no revision {model.revision}")
    if isinstance(error, (httpx2.HTTPError, HfHubHTTPError, OSError)):
        remedy = "check the network and HF_ENDPOINT, or bring the model in with `webinfer models import`"
        return SetupError(
            f"model {model.name!r}", f"the Hub at {endpoint} did not answer ({error}); {remedy}"
        )
    return error


def _repository(info: Any, order: Pull) -> Repository:
    """What the Hub told, as far as it is needed. Raises BadRequest where it named no commit to pin."""
    model = order.model
    if not info.sha:
        raise BadRequest(f"the Hub names no commit for {model.repository}, so it cannot be pinned")
    base = f"{order.source}/resolve/{info.sha}"
    files = {
        sibling.rfilename: HubFile(
            path=sibling.rfilename,
            url=f"{base}/{sibling.rfilename}",
            size_bytes=int(sibling.lfs.size if sibling.lfs else sibling.size or 0),
            sha256=sibling.lfs.sha256 if sibling.lfs else None,
            git_hash=None if sibling.lfs else sibling.blob_id,
        )
        for sibling in info.siblings or ()
    }
    tags = [tag.removeprefix("license:") for tag in info.tags or () if tag.startswith("license:")]
    return Repository(info.sha, files, model.license or next(iter(tags), "unknown"), info.pipeline_tag)


def _family(order: Pull, repository: Repository, folder: Path) -> Family:
    """The family that was given, or what the repository's config.json tells."""
    if order.model.family is not None:
        return order.model.family
    config = repository.files.get("config.json")
    if config is None:
        raise BadRequest(f"{order.model.repository} has no config.json, so it is no model that can run here")
    _require_room(order, [config])
    download(config, folder / config.path, order.settings, order.deadline, lambda _: None)
    return infer_family(order.model.name, read_json(folder / config.path), repository.pipeline)


def _fetch(
    order: Pull, repository: Repository, folder: Path, family: Family, paths: list[str]
) -> StoredModel:
    """Downloads `paths` into `folder`, looks into the graphs, and writes the manifest there."""
    files = [repository.files[path] for path in paths]
    _require_room(order, files)
    _download_all(order, files, folder)
    require_graphs(order.model.name, folder, family, order.precision, paths)
    described = {path: describe_file(folder / path) for path in paths}
    model = StoredModel(
        name=order.model.name,
        family=family,
        folder=folder,
        revision=repository.commit,
        settings=read_settings(folder, family) | order.model.settings,
        precisions=available_precisions(family, described),
        files=described,
        source=order.source,
        license=repository.license,
        extra={"hub": {"repository": order.model.repository, "revision": order.model.revision}},
    )
    write_manifest(model)
    return model


def _require_room(order: Pull, files: list[HubFile]) -> None:
    """Raises TooLarge or SetupError before a byte is fetched that could not be kept."""
    total = sum(file.size_bytes for file in files)
    if total > order.settings.max_model_bytes:
        raise TooLarge(f"model {order.model.name!r}", total, order.settings.max_model_bytes)
    order.root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(order.root).free
    if total > free:
        remedy = f"{total} bytes are needed and {free} are free in {order.root}"
        raise SetupError(f"room for model {order.model.name!r}", remedy)


def _download_all(order: Pull, files: list[HubFile], folder: Path) -> None:
    total = sum(file.size_bytes for file in files)
    before = 0
    for file in files:

        def tell(done_bytes: int, file: HubFile = file, before: int = before) -> None:
            if order.tell is not None:
                order.tell(Progress(order.model.name, file.path, before + done_bytes, total))

        download(file, folder / file.path, order.settings, order.deadline, tell)
        before += file.size_bytes


def _replace_folder(fresh: Path, target: Path) -> None:
    """Puts `fresh` at `target`; what was there before goes."""
    old = fresh.with_name(f"{fresh.name}.old")
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    if old.exists():
        shutil.rmtree(old)
