"""Packs a model of the Hub in few bits: its weights are fetched, quantised, and not kept."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Sequence
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
from browser_runtime.low_bits.quantising.quantiser import Tell
from browser_runtime.low_bits.reading.file_names import GGUF_ENDING, INDEX
from browser_runtime.low_bits.reading.sources import CONFIG, open_inner, open_source
from browser_runtime.low_bits.shape import DecoderShape
from browser_runtime.models.configuration.pictures import read_decoder
from browser_runtime.models.files.integrity import hash_file
from browser_runtime.models.hub.downloading import HubFile, Progress
from browser_runtime.models.hub.fetching import Fetched, Pull, download_all, peek, require_room
from browser_runtime.models.hub.original_weights import CHOSEN_BITS, list_shards
from browser_runtime.models.hub.repository import Repository
from browser_runtime.models.intake.bert_names import read_config, read_tensors
from browser_runtime.models.intake.export_bert import read_weights
from browser_runtime.models.intake.graph_check import list_weights, read_graph
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
    with _packing(job, folder) as packed:
        source = open_source(home / original if _is_gguf(original) else home)
        quantise_to_folder(source, _wish_for(precision), packed, _telling(job, precision, files))
        check_files(packed, family)
    return _take_packed(folder, held)


def pack_behind_tower(
    job: Pull,
    repository: Repository,
    folder: Path,
    family: FamilySpec,
    precision: Precision,
    original: str,
    held: Collection[str],
) -> Fetched:
    """A model that reads images: its decoder packed likewise, its tower's graph as it is. Raises likewise."""
    home, name = folder / ORIGINAL_FOLDER, job.model.name
    require_files(name, family, repository.files)
    shape = read_decoder(peek(job, repository, home, CONFIG))
    small = [path for path in family.files.known if path in repository.files]
    files = [repository.files[path] for path in [*small, *_list_parts(job, repository, home, original)]]
    (layout,) = (graphs for graphs in family.layouts if any(not graph.is_onnx for graph in graphs))
    stored = [path for graph in layout if graph.is_onnx for path in graph.paths(precision)]
    tower = next(path for path in stored if path in repository.files)
    require_room(job, [*files, repository.files[tower]])
    download_all(job, files, home)
    graphs = _fetch_graph(job, repository, folder, tower, held)
    with _packing(job, folder) as packed:
        source = open_inner(home, shape, small)
        quantise_to_folder(source, _wish_for(precision), packed, _telling(job, precision, files))
        check_files(packed, family)
    taken = _take_packed(folder, held)
    fresh = [path for path in graphs if path not in held]
    return Fetched([*taken.paths, *fresh], taken.weights | {tower: tuple(graphs[1:])})


def _fetch_graph(
    job: Pull, repository: Repository, folder: Path, graph: str, held: Collection[str]
) -> list[str]:
    """The paths of a graph and of the weights beside it, all now in `folder`. Raises BadRequest."""
    if graph not in held:
        download_all(job, [repository.files[graph]], folder)
    beside = list_weights(job.model.name, graph, read_graph(folder, graph))
    if missing := [path for path in beside if path not in repository.files]:
        raise BadRequest(
            f"{job.model.repository} lacks {missing[0]}, the weights of model {job.model.name!r}"
        )
    rest = [repository.files[path] for path in beside if path not in held]
    require_room(job, rest)
    download_all(job, rest, folder)
    return [graph, *beside]


def _list_parts(job: Pull, repository: Repository, home: Path, original: str) -> tuple[str, ...]:
    """The files of weights that `original` leads to."""
    if original != INDEX:
        return (original,)
    return (original, *list_shards(job.model.name, peek(job, repository, home, INDEX), repository.files))


def _wish_for(precision: Precision) -> Wish:
    bits = CHOSEN_BITS[precision]
    ends = max(bits, ENDS_BITS)
    return Wish(BitPlan(bits, ends, ends))


def _telling(job: Pull, precision: Precision, files: Sequence[HubFile]) -> Tell:
    """Reports the steps of packing, after those of fetching."""
    total = sum(file.size_bytes for file in files)

    def tell(step: str, done: int, of: int) -> None:
        if job.report is not None:
            job.report(Progress(job.model.name, f"{precision}: {step}", total * done // of, total))

    return tell


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
    parts = [path for path in _list_parts(job, repository, home, original) if path != INDEX]
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
    require_files(job.model.name, family, repository.files)
    DecoderShape.of(peek(job, repository, home, CONFIG))
    small = [path for path in family.files.known if path in repository.files]
    return [*small, *_list_parts(job, repository, home, original)]


def _explain(error: BadRequest) -> str:
    return str(error) if isinstance(error, BadInput) else str(error.args[-1])


def _is_gguf(path: str) -> bool:
    return path.lower().endswith(GGUF_ENDING)


PACKERS = {
    "text_generation": pack_original,
    "text_embedding": pack_encoder,
    "llava": pack_behind_tower,
}
"""By the family's name, of those that have weights packed here."""
