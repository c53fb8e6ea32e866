"""Pulls models from the Hugging Face Hub into the store: pinned, verified, and visible only when whole."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.contract.family_spec import FamilySpec
from browser_runtime.contract.generating_families import PACKED, TEXT_GENERATION
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.families.processor import check_files, find_processor
from browser_runtime.low_bits.reading.file_names import GGUF_ENDING
from browser_runtime.models.files.graphs import (
    available_precisions,
    find_graphs,
    graph_paths,
    group_weights,
    guess_weights,
)
from browser_runtime.models.files.integrity import describe_file
from browser_runtime.models.files.json_files import Json
from browser_runtime.models.files.paths import check_together
from browser_runtime.models.files.scratch import PARTIAL_FOLDER
from browser_runtime.models.hub.fetching import Fetched, Pull, download_all, peek, require_room
from browser_runtime.models.hub.original_weights import find_original, list_originals
from browser_runtime.models.hub.repository import Repository, look_up
from browser_runtime.models.intake.graph_check import inspect_graphs, limit_tokens, list_weights, read_graph
from browser_runtime.models.intake.traits import choose_files, complete_files, infer_family
from browser_runtime.models.intake.trial import try_model
from browser_runtime.models.manifest import StoredModel, list_paths, write_manifest


def pull(job: Pull) -> StoredModel:
    """The model, fetched anew to `root/name`. The caller holds the lock of this name.

    Raises UnknownModel if the Hub has no such repository, SetupError where it cannot be had now (offline,
    unreachable, deadline, disk), TooLarge, and BadRequest where it does not hold what its family needs.
    """
    repository = look_up(job.model, job.settings, job.deadline)
    folder = _partial_folder(job, repository.commit)
    family = _family(job, repository, folder)
    precision = job.precision or family.precision
    fetched = _gather(job, repository, folder, family, precision)
    files = {path: describe_file(folder / path) for path in fetched.paths}
    model = StoredModel(
        name=job.model.name,
        family=family,
        folder=folder,
        revision=repository.commit,
        settings=_join_settings(find_processor(family).read_settings(folder), job.model.settings),
        precisions=available_precisions(family, files),
        files=files,
        source=job.source,
        license=repository.license,
        extra={"hub": {"repository": job.model.repository, "revision": job.model.revision}},
        weights=fetched.weights,
    )
    model = _admit(job, model, precision)
    for path in set(list_paths(folder)) - set(model.files):
        (folder / path).unlink()  # what a pull of another precision left when it was given up
    target = job.root / model.name
    target.parent.mkdir(parents=True, exist_ok=True)
    _replace_folder(folder, target)
    return replace(model, folder=target)


def _join_settings(own: Json, catalogued: Json) -> Json:
    """The model's own settings, with the catalogue's over them; never more tokens than the model takes."""
    return limit_tokens(own | catalogued, own.get("max_tokens"))


def _gather(
    job: Pull,
    repository: Repository,
    folder: Path,
    family: FamilySpec,
    precision: Precision,
    held: Collection[str] = (),
) -> Fetched:
    """The files that the model needs in `precision`, beside those `held`: as they are, or packed here."""
    original = find_original(job.model.name, family, precision, repository.files)
    if original is None:
        return Fetched(_fetch(job, repository, folder, family, precision, held))
    if job.prove is not None:
        raise BadInput("--prove", "given", "left out: packed weights are held to their original instead")
    # It loads NumPy, which most pulls need not.
    from browser_runtime.models.hub.packing import PACKERS, Order

    return PACKERS[family.name](Order(job, repository, folder, family, precision, original, held))


def _admit(job: Pull, model: StoredModel, precision: Precision) -> StoredModel:
    """The model once its graphs fit and have run, with its manifest. Raises BadRequest, its files gone.

    A packed language model was held to its original while it was packed.
    """
    try:
        found = inspect_graphs(model.name, model.folder, model.family, (precision,), model.files)
        fitting = replace(
            model,
            settings=found.fit_settings(model.settings),
            weights=group_weights(model.files, model.weights | found.weights),
        )
        write_manifest(fitting)
        if any(spec is not PACKED for spec in find_graphs(model.family, precision, model.files) or ()):
            runs = try_model(fitting, (precision,))
            if job.prove is not None:
                job.prove(fitting, runs)
    except BadRequest:
        shutil.rmtree(model.folder)  # whole as it is, nothing of it will ever be wanted
        raise
    return fitting


def _partial_folder(job: Pull, commit: str) -> Path:
    """The folder in which pulls of this commit gather files; deletes those of other commits."""
    home, name = job.root / PARTIAL_FOLDER, job.model.name.replace("/", "--")
    for old in home.glob(f"{name}@*"):
        if old.name != f"{name}@{commit}":
            shutil.rmtree(old)
    return home / f"{name}@{commit}"


def pull_precision(job: Pull, held: StoredModel) -> StoredModel:
    """The model with one more precision, from the commit that it came from. The caller holds the lock.

    Raises like `pull`.
    """
    repository = look_up(job.model, job.settings, job.deadline)
    folder = _partial_folder(job, repository.commit)
    for path in held.files:
        _link(held.folder / path, folder / path)
    precision = job.precision or held.family.precision
    fetched = _gather(job, repository, folder, held.family, precision, held.files)
    fresh = [path for path in fetched.paths if path not in held.files]
    files = held.files | {path: describe_file(folder / path) for path in fresh}
    precisions = available_precisions(held.family, files)
    weights = held.weights | fetched.weights
    grown = replace(held, folder=folder, files=files, precisions=precisions, weights=weights)
    model = _admit(job, grown, precision)
    for path in fresh:
        (held.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).replace(held.folder / path)
    model = replace(model, folder=held.folder)
    write_manifest(model)  # last: until then the new files belong to nobody
    shutil.rmtree(folder)
    return model


def _link(source: Path, target: Path) -> None:
    """Makes `source` appear at `target` too, without a copy where the file system can."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _family(job: Pull, repository: Repository, folder: Path) -> FamilySpec:
    """The family that was given, or the one that the repository's config.json shows."""
    if job.model.family is not None:
        return job.model.family
    if "config.json" not in repository.files:
        if any(path.lower().endswith(GGUF_ENDING) for path in repository.files):
            return TEXT_GENERATION  # a GGUF file holds its configuration itself
        raise BadRequest(f"{job.model.repository} has no config.json, so it is no model that can run here")
    config = peek(job, repository, folder, "config.json")
    return infer_family(job.model.name, config, repository.pipeline)


def _fetch(
    job: Pull,
    repository: Repository,
    folder: Path,
    family: FamilySpec,
    precision: Precision,
    held: Collection[str] = (),
) -> list[str]:
    """The files that the model needs, all now in `folder`; those `held` were there before."""
    name = job.model.name
    # What this machine packs is never taken from a repository.
    specs = [spec for graphs in family.layouts for spec in graphs if not spec.is_onnx]
    ours = {path for spec in specs for one in Precision for path in spec.paths(one)}
    listed = [path for path in repository.files if path not in ours]
    listing = peek(job, repository, folder, family.files.listing, held) if family.files.listing else None
    originals = list_originals(name, family, listed)
    paths = choose_files(name, family, precision, listed, listing, originals)
    graphs = graph_paths(family, precision, paths) or ()
    likely = [path for graph in graphs for path in guess_weights(graph, listed)]
    first = [repository.files[path] for path in paths if path not in held]
    require_room(job, [*first, *(repository.files[path] for path in likely if path not in held)])
    expected = sum(repository.files[path].size_bytes for path in likely if path not in held)
    download_all(job, first, folder, rest_bytes=expected)
    check_files(folder, family)
    # Only the graph itself names the files of its weights.
    named = {graph: list_weights(name, graph, read_graph(folder, graph)) for graph in graphs}
    beside = sorted({path for weights in named.values() for path in weights} - {*paths, *held})
    for path in beside:
        if path not in repository.files:
            raise BadRequest(f"{job.model.repository} lacks {path}, the weights of model {name!r}")
    _require_together(name, [*paths, *beside])
    second = [repository.files[path] for path in beside]
    require_room(job, second)
    download_all(job, second, folder, done=first)
    shared = (path for weights in named.values() for path in weights if path in held)
    return [*dict.fromkeys([*paths, *beside, *shared, *complete_files(folder, family, {*paths, *held})])]


def _require_together(name: str, paths: list[str]) -> None:
    try:
        check_together(paths)
    except ValueError as error:
        raise BadRequest(f"model {name!r} cannot be stored: {error}") from error


def _replace_folder(fresh: Path, target: Path) -> None:
    """Puts `fresh` at `target`; what was there before goes."""
    old = fresh.with_name(f"{fresh.name}.old")
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    if old.exists():
        shutil.rmtree(old)
