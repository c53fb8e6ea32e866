"""Packs a model of the Hub in few bits: its weights are fetched, quantised, and not kept."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.contract.families import PACKED_ENCODER
from browser_runtime.contract.family_spec import FamilySpec
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.families.processor import check_files
from browser_runtime.low_bits import encoder_file, model_file
from browser_runtime.low_bits.encoder_file import write_encoder
from browser_runtime.low_bits.encoder_shape import EncoderShape
from browser_runtime.low_bits.quantising.bit_plan import ENDS_BITS, BitPlan
from browser_runtime.low_bits.quantising.packing_up import Wish
from browser_runtime.low_bits.reading.file_names import GGUF_ENDING, INDEX
from browser_runtime.low_bits.reading.sources import CONFIG, open_source
from browser_runtime.low_bits.shape import DecoderShape
from browser_runtime.models.files.integrity import hash_file
from browser_runtime.models.hub.downloading import Progress
from browser_runtime.models.hub.fetching import Fetched, Pull, download_all, peek, require_room
from browser_runtime.models.hub.original_weights import CHOSEN_BITS, list_shards
from browser_runtime.models.hub.repository import Repository
from browser_runtime.models.intake.bert_names import read_config, read_tensors
from browser_runtime.models.intake.export_bert import read_weights
from browser_runtime.models.intake.packed_folders import quantise_to_folder
from browser_runtime.models.intake.traits import require_files, wanted_files
from browser_runtime.models.manifest import list_paths

# Of a pull that is under way: what is packed, and what came of it.
ORIGINAL_FOLDER, PACKED_FOLDER = "original", "packed"
INDEX_FILES = (model_file.FILE, encoder_file.FILE)


def pack_original(
    job: Pull,
    repository: Repository,
    folder: Path,
    family: FamilySpec,
    precision: Precision,
    original: str,
    held: Collection[str],
) -> Fetched:
    """A language model in `precision`, packed of what `original` leads to, without the files `held`.

    Raises BadInput for a model of another type, BadRequest for what is broken or not understood, and whatever
    fetching raises.
    """
    home = folder / ORIGINAL_FOLDER
    files = [repository.files[path] for path in _choose(job, repository, home, family, original)]
    require_room(job, files)
    download_all(job, files, home)
    total = sum(file.size_bytes for file in files)

    def tell(step: str, done: int, of: int) -> None:
        if job.report is not None:
            job.report(Progress(job.model.name, f"{precision}: {step}", total * done // of, total))

    bits = CHOSEN_BITS[precision]
    ends = max(bits, ENDS_BITS)
    with _packing(job, folder) as packed:
        source = open_source(home / original if _is_gguf(original) else home)
        quantise_to_folder(source, Wish(BitPlan(bits, ends, ends)), packed, tell)
        check_files(packed, family)
    return _take_packed(folder, held)


def pack_encoder(
    job: Pull,
    repository: Repository,
    folder: Path,
    family: FamilySpec,
    precision: Precision,
    original: str,
    held: Collection[str],
) -> Fetched:
    """A text encoder in `precision`, packed likewise. Raises like `pack_original`."""
    home, name = folder / ORIGINAL_FOLDER, job.model.name
    require_files(name, family, repository.files)
    config = peek(job, repository, home, CONFIG)
    shape = EncoderShape.of(read_config(config))
    listing = peek(job, repository, home, family.files.listing)
    small = [path for path in wanted_files(family, listing) if path in repository.files]
    parts = [original]
    if original == INDEX:
        parts = list(list_shards(name, peek(job, repository, home, INDEX), repository.files))
    files = [repository.files[path] for path in dict.fromkeys([*small, *parts])]
    require_room(job, files)
    download_all(job, files, home)
    with _packing(job, folder) as packed:
        for path in small:
            (packed / path).parent.mkdir(parents=True, exist_ok=True)
            (home / path).replace(packed / path)
        check_files(packed, family)
        (index,) = PACKED_ENCODER.paths(precision)
        weights = read_tensors(config, read_weights([home / path for path in parts]))
        hashes = {path: hash_file(home / path) for path in parts}
        about = {"source": {"name": job.model.repository, "files": hashes}}
        write_encoder((packed / index).parent, shape, weights, about)
    return _take_packed(folder, held)


@contextmanager
def _packing(job: Pull, folder: Path) -> Iterator[Path]:
    """An empty folder to pack into. Raises BadRequest for what cannot be packed, the pull's files gone."""
    packed = folder / PACKED_FOLDER
    shutil.rmtree(packed, ignore_errors=True)
    packed.mkdir(parents=True)
    try:
        yield packed
    except (BadInput, BadRequest) as error:
        shutil.rmtree(folder)  # whole as it is, nothing of it will ever be wanted
        raise BadRequest(f"model {job.model.name!r} cannot be packed: {_explain(error)}") from error


def _take_packed(folder: Path, held: Collection[str]) -> Fetched:
    """Moves what was packed into the model's folder, but for the files `held`; the original goes."""
    packed = folder / PACKED_FOLDER
    fresh = [path for path in list_paths(packed) if path not in held]
    for path in fresh:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (packed / path).replace(folder / path)
    shutil.rmtree(packed)
    shutil.rmtree(folder / ORIGINAL_FOLDER)
    (index,) = (path for path in fresh if PurePosixPath(path).name in INDEX_FILES)
    return Fetched(fresh, {index: tuple(path for path in fresh if path.endswith(".bin"))})


def _choose(job: Pull, repository: Repository, home: Path, family: FamilySpec, original: str) -> list[str]:
    """The files to fetch. A model of another type is refused before anything large is fetched."""
    if _is_gguf(original):
        return [original]
    name = job.model.name
    require_files(name, family, repository.files)
    DecoderShape.of(peek(job, repository, home, CONFIG))
    small = [path for path in family.files.known if path in repository.files]
    if original != INDEX:
        return [*small, original]
    return [*small, original, *list_shards(name, peek(job, repository, home, INDEX), repository.files)]


def _explain(error: BadRequest) -> str:
    return str(error) if isinstance(error, BadInput) else str(error.args[-1])


def _is_gguf(path: str) -> bool:
    return path.lower().endswith(GGUF_ENDING)
