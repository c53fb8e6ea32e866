"""The model store: built-in models, then the local folder, then the Hub."""

from __future__ import annotations

import asyncio
import difflib
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from browser_runtime.contract.errors import BadInput, BadRequest, SetupError, UnknownModel
from browser_runtime.contract.family_spec import FamilySpec
from browser_runtime.contract.vocabulary import Precision, check_model_name
from browser_runtime.models.files.integrity import (
    Signature,
    check_model,
    require_size,
    require_whole,
    sign_files,
)
from browser_runtime.models.files.locking import hold_lock, lock_path
from browser_runtime.models.files.paths import ForeignFolder, shorten
from browser_runtime.models.hub.catalogue import HubModel, find_hub_model, read_catalogue
from browser_runtime.models.hub.fetching import Prove, Pull, ReportProgress
from browser_runtime.models.hub.pulling import pull, pull_precision
from browser_runtime.models.hub.repository import offline_refusal
from browser_runtime.models.hub.settings import HubSettings
from browser_runtime.models.in_use import ModelsInUse, hold_unchanged
from browser_runtime.models.manifest import MANIFEST, ModelFile, StoredModel, read_manifest, repair
from browser_runtime.models.removal import remove_model
from browser_runtime.models.reports import (
    Listing,
    Removal,
    Verification,
    list_broken,
    list_catalogued,
    list_stored,
)
from browser_runtime.settings import RuntimeSettings

__all__ = ["Listing", "ModelFile", "ModelStore", "Removal", "StoredModel", "Verification"]

# A model that was fetched and cannot run is not fetched for each request; whoever mended it waits a minute.
REFUSED_FOR_S = 60.0
BUILTIN_FOLDER = Path(__file__).parent / "builtin"


class ModelStore:
    """Finds, fetches, checks and serves models. Safe to use from several threads and processes."""

    def __init__(self, root: Path | None = None, hub: HubSettings | None = None) -> None:
        self.root = (root or RuntimeSettings().models_dir).expanduser()
        self._hub = hub
        self.in_use = ModelsInUse(self.root)
        self._guard = threading.Lock()
        self._read: dict[Path, tuple[int, StoredModel]] = {}
        """Manifests by folder, with the modification time that each was read at."""
        self._whole: dict[Path, Signature] = {}
        """The signature that each model's files had when their hashes were right."""
        self._coming: dict[tuple[str, Precision], asyncio.Task[StoredModel]] = {}
        """Models that coroutines wait for: one thread each, however many wait."""
        self._refused: dict[tuple[str, Precision], tuple[float, BadRequest]] = {}
        """Errors of models that could not be provided, with their times (monotonic)."""

    @property
    def max_bytes(self) -> int:
        """Most bytes of one model, wherever it comes from."""
        return (self._hub or HubSettings()).max_model_bytes

    def find(self, name: str) -> StoredModel | None:
        """The model where it is here, built in or local; None if it is not.

        Raises BadInput for what is no name, BadRequest for a broken manifest.
        """
        check_model_name(name)
        for home in (BUILTIN_FOLDER, self.root):
            folder = home / name
            try:
                modified_ns = (folder / MANIFEST).stat().st_mtime_ns
            except OSError:
                continue
            return self._manifest(folder, name, modified_ns)
        return None

    def _manifest(self, folder: Path, name: str, modified_ns: int) -> StoredModel:
        with self._guard:
            held = self._read.get(folder)
        if held is not None and held[0] == modified_ns:
            return held[1]
        model = read_manifest(folder, name)
        with self._guard:
            self._read[folder] = (modified_ns, model)
        return model

    def ensure(
        self, name: str, precision: Precision = Precision.FP32, progress: ReportProgress | None = None
    ) -> StoredModel:
        """The model in that precision, whole and verified, fetched where it is not here yet.

        Raises UnknownModel, BadInput for a precision it does not come in, BadRequest if it is damaged,
        SetupError where it would have to be fetched and cannot be.
        """
        model = self.find(name)
        if model is None or (precision not in model.precisions and "hub" in model.extra):
            model = self.pull(name, precision, progress=progress)
        if precision not in model.precisions:
            there = ", ".join(model.precisions) or "nothing that can run"
            raise BadInput("precision", repr(str(precision)), f"what model {name!r} comes in: {there}")
        self._verify_once(model)
        return model

    async def provide(self, name: str, precision: Precision = Precision.FP32) -> StoredModel:
        """The model of `ensure`, for coroutines of one loop; at once if it was verified before.

        A model that has to be fetched or hashed keeps one thread busy, however many ask for it. Raises like
        `ensure`.
        """
        model = self.find(name)
        if model is not None and precision in model.precisions and self._is_verified(model):
            return self._use(model)
        key = (name, precision)
        self._require_hope(key)
        if key not in self._coming:
            self._coming[key] = asyncio.create_task(asyncio.to_thread(self.ensure, name, precision))
            self._coming[key].add_done_callback(lambda done: self._note_end(key, done))
        # Shielded: one caller's cancellation must not take the model from the others.
        return self._use(await asyncio.shield(self._coming[key]))

    def _note_end(self, key: tuple[str, Precision], done: asyncio.Task[StoredModel]) -> None:
        del self._coming[key]
        error = None if done.cancelled() else done.exception()
        if type(error) is BadRequest:
            self._refused[key] = (time.monotonic(), error)

    def _require_hope(self, key: tuple[str, Precision]) -> None:
        """Raises what the model was refused for a moment ago: finding out anew may mean to fetch it anew."""
        at, error = self._refused.get(key, (0.0, None))
        if error is not None and time.monotonic() - at < REFUSED_FOR_S:
            raise error.copy()
        self._refused.pop(key, None)

    def _use(self, model: StoredModel) -> StoredModel:
        """The model, marked as used by this process. Raises UnknownModel if it was just removed."""
        if not model.folder.is_relative_to(BUILTIN_FOLDER):
            self.in_use.take(model.name)
            if self.find(model.name) is None:
                raise UnknownModel(repr(model.name), "it was removed just now")
        return model

    def _is_verified(self, model: StoredModel) -> bool:
        """True when the files are those whose hashes were right. Raises BadRequest for odd sizes."""
        signature = sign_files(model)
        with self._guard:
            return self._whole.get(model.folder) == signature

    def _verify_once(self, model: StoredModel) -> None:
        """Full hashes at the first use and after any change of size or time; else sizes and times."""
        signature = sign_files(model)
        with self._guard:
            known = self._whole.get(model.folder)
        if known == signature:
            return
        require_whole(model)
        with self._guard:
            self._whole[model.folder] = signature

    def pull(
        self,
        name: str,
        precision: Precision | None = None,
        *,
        family: FamilySpec | None = None,
        revision: str | None = None,
        progress: ReportProgress | None = None,
        prove: Prove | None = None,
    ) -> StoredModel:
        """The model from the Hub in that precision, or its family's usual one; at once if it is here already.

        One process fetches, the others wait for it. `prove` is called with a fetched model before it enters
        the store; it raises to keep it out. Raises like `ensure`.
        """
        held = self._held(name, precision, revision)
        if held is not None:
            return held
        hub_model = self._hub_model(name, family, revision)
        settings = self._hub or HubSettings()
        deadline = time.monotonic() + settings.timeout_s
        if settings.offline:
            raise offline_refusal(name)
        with hold_lock(lock_path(self.root, name), f"model {name!r}", deadline):
            held = self._held(name, precision, revision)
            if held is not None:
                return held
            model = self.find(name)
            job = Pull(hub_model, precision, self.root, settings, deadline, progress, prove)
            if model is None or revision not in (None, model.revision):
                return pull(job)
            return pull_precision(replace(job, model=replace(hub_model, revision=model.revision)), model)

    def _held(self, name: str, precision: Precision | None, revision: str | None) -> StoredModel | None:
        """The model where it is here in that precision, and of that revision if one is asked for."""
        model = self.find(name)
        if model is None or revision not in (None, model.revision):
            return None
        return model if (precision or model.family.precision) in model.precisions else None

    def _hub_model(self, name: str, family: FamilySpec | None, revision: str | None) -> HubModel:
        hub_model = find_hub_model(check_model_name(name))
        if hub_model is None:
            raise UnknownModel(repr(name), self._suggest(name))
        return replace(hub_model, family=family or hub_model.family, revision=revision or hub_model.revision)

    def _suggest(self, name: str) -> str:
        """Near matches, and what to do."""
        known = sorted({*read_catalogue(), *(name for name, _ in self._folders())})
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        meant = f"did you mean {' or '.join(near)}? " if near else ""
        return f"{meant}`webinfer models list` shows all; others are pulled as org/name or imported"

    def listing(self) -> tuple[Listing, ...]:
        """Every model that is here, and every one of the catalogue that is not, by name."""
        here = [self._list(name, folder) for name, folder in self._folders()]
        names = {entry.name for entry in here}
        known = [list_catalogued(entry) for name, entry in read_catalogue().items() if name not in names]
        return tuple(sorted((*here, *known), key=lambda entry: entry.name))

    def _folders(self) -> Iterator[tuple[str, Path]]:
        """The models that are here by name, one that is built in before a local one of the same name."""
        seen: set[str] = set()
        for home in (BUILTIN_FOLDER, self.root):
            for manifest in sorted((*home.glob(f"*/{MANIFEST}"), *home.glob(f"*/*/{MANIFEST}"))):
                name = manifest.parent.relative_to(home).as_posix()
                if not name.startswith(".") and name not in seen:
                    seen.add(name)
                    yield name, manifest.parent

    def _list(self, name: str, folder: Path) -> Listing:
        where = "built-in" if folder.is_relative_to(BUILTIN_FOLDER) else "local"
        try:
            return list_stored(read_manifest(folder, name), where)
        except BadRequest as error:
            return list_broken(name, where, str(error))

    def verify(self, name: str) -> Verification:
        """Every file of the model held against its hash, now. Raises UnknownModel if it is not here."""
        model = self.find(name)
        if model is None:
            raise UnknownModel(repr(name), f"it is not on this machine; {self._suggest(name)}")
        return Verification(name, model.revision, check_model(model))

    def remove(self, name: str) -> Removal:
        """Takes the model off this machine, whole or damaged, with what a pull of it left.

        Raises UnknownModel if it is not here, BadInput for a built-in one and for one that is in use, then
        too, and while another process fetches or imports it.
        """
        check_model_name(name, "name")
        if (BUILTIN_FOLDER / name / MANIFEST).exists():
            raise BadInput("name", f"{name!r}, a built-in model", "a model that was pulled or imported")
        with hold_unchanged(self.root, name):
            if not (self.root / name / MANIFEST).exists():
                raise UnknownModel(repr(name), f"it is not on this machine; {self._suggest(name)}")
            try:
                return remove_model(self.root, name)
            except OSError as error:
                raise SetupError(f"access to model {name!r}", f"removing it failed: {error}") from error

    def resolve_file(self, name: str, relative_path: str, version: str | None = None) -> Path:
        """The path on disk of one file of a model that is here, in that version if one is given.

        Raises UnknownModel, BadInput for a path that the manifest does not list, BadRequest for a damaged
        file.
        """
        model = self.find(name)
        if model is None or version not in (None, model.version):
            raise UnknownModel(repr(name), f"version {version or 'any'} is not on this machine")
        if relative_path not in model.files:
            raise BadInput("path", shorten(relative_path), f"a file of model {name!r}")
        try:
            found = ForeignFolder.at(model.folder).find(relative_path)
        except ValueError as error:
            raise BadInput("path", str(error), f"a file of model {name!r}") from error
        if found is None:
            raise BadRequest(f"model {name!r} is damaged: {relative_path} is missing; {repair(name)}")
        require_size(model, relative_path)
        return found
