"""Packs a model of the Hub in few bits: its weights are fetched, quantised, and not kept."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

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
from browser_runtime.low_bits.reading.sources import CONFIG, DecoderSource, open_inner, open_source
from browser_runtime.low_bits.shape import DecoderShape
from browser_runtime.models.configuration.pictures import read_decoder
from browser_runtime.models.files.integrity import hash_file
from browser_runtime.models.hub.downloading import HubFile, Progress
from browser_runtime.models.hub.fetching import Fetched, Pull, download_all, peek, require_room
from browser_runtime.models.hub.original_weights import CHOSEN_BITS, list_shards
from browser_runtime.models.hub.repository import Repository
from browser_runtime.models.intake.encoder_graph import read_weights
from browser_runtime.models.intake.encoder_names import read_config, read_tensors
from browser_runtime.models.intake.graph_check import list_weights, read_graph
from browser_runtime.models.intake.packed_folders import quantise_to_folder
from browser_runtime.models.intake.traits import require_files, wanted_files
from browser_runtime.models.manifest import list_paths

# Of a pull that is under way: what is packed, and what came of it.
ORIGINAL_FOLDER, PACKED_FOLDER = "original", "packed"
INDEX_FILES = (model_file.FILE, encoder_file.FILE)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be packed: a model of the Hub in `precision`, of what `original` leads to."""

    job: Pull
    repository: Repository
    folder: Path
    family: FamilySpec
    precision: Precision
    original: str
    held: Collection[str]
    """Files that the model has already, and that are not made anew."""

    @property
    def home(self) -> Path:
        """Where the original's files lie meanwhile."""
        return self.folder / ORIGINAL_FOLDER

    def peek(self, path: str) -> Any:
        """The contents of a JSON file of the original; {} if the repository has none."""
        return peek(self.job, self.repository, self.home, path)

    def find(self, paths: Iterable[str]) -> list[HubFile]:
        """Those of the files that the repository has."""
        return [self.repository.files[path] for path in dict.fromkeys(paths) if path in self.repository.files]

    def list_parts(self) -> tuple[str, ...]:
        """The files of weights that `original` leads to."""
        if self.original != INDEX:
            return (self.original,)
        shards = list_shards(self.job.model.name, self.peek(INDEX), self.repository.files)
        return (self.original, *shards)


def pack_original(order: Order) -> Fetched:
    """A language model, packed, without the files that are held.

    Raises BadInput for a model of another type, BadRequest for what is broken or not understood, and whatever
    fetching raises.
    """
    files = order.find(_choose(order))
    require_room(order.job, files)
    download_all(order.job, files, order.home)
    with _packing(order) as packed:
        source = open_source(order.home / order.original if _is_gguf(order.original) else order.home)
        _quantise(order, source, packed, files)
    return _take_packed(order)


def pack_behind_tower(order: Order) -> Fetched:
    """A model that reads images: its decoder packed likewise, its tower's graph as it is. Raises likewise."""
    job, repository, family = order.job, order.repository, order.family
    require_files(job.model.name, family, repository.files)
    shape = read_decoder(order.peek(CONFIG))
    small = [path for path in family.files.known if path in repository.files]
    files = order.find([*small, *order.list_parts()])
    (layout,) = (graphs for graphs in family.layouts if any(not graph.is_onnx for graph in graphs))
    stored = [path for graph in layout if graph.is_onnx for path in graph.paths(order.precision)]
    tower = next(path for path in stored if path in repository.files)
    require_room(job, [*files, repository.files[tower]])
    download_all(job, files, order.home)
    graphs = _fetch_graph(order, tower)
    with _packing(order) as packed:
        _quantise(order, open_inner(order.home, shape, small), packed, files)
    taken = _take_packed(order)
    fresh = [path for path in graphs if path not in order.held]
    return Fetched([*taken.paths, *fresh], taken.weights | {tower: tuple(graphs[1:])})


def _fetch_graph(order: Order, graph: str) -> list[str]:
    """The paths of a graph and of the weights beside it, all now in the folder. Raises BadRequest."""
    job, repository, folder = order.job, order.repository, order.folder
    if graph not in order.held:
        download_all(job, [repository.files[graph]], folder)
    beside = list_weights(job.model.name, graph, read_graph(folder, graph))
    if missing := [path for path in beside if path not in repository.files]:
        raise BadRequest(
            f"{job.model.repository} lacks {missing[0]}, the weights of model {job.model.name!r}"
        )
    rest = [repository.files[path] for path in beside if path not in order.held]
    require_room(job, rest)
    download_all(job, rest, folder)
    return [graph, *beside]


def _quantise(order: Order, source: DecoderSource, packed: Path, files: Sequence[HubFile]) -> None:
    """Packs the decoder into `packed`, and reports its steps after those of fetching."""
    job, total = order.job, sum(file.size_bytes for file in files)

    def tell(step: str, done: int, of: int) -> None:
        if job.report is not None:
            job.report(Progress(job.model.name, f"{order.precision}: {step}", total * done // of, total))

    bits = CHOSEN_BITS[order.precision]
    ends = max(bits, ENDS_BITS)
    quantise_to_folder(source, Wish(BitPlan(bits, ends, ends)), packed, tell)
    check_files(packed, order.family)


def pack_encoder(order: Order) -> Fetched:
    """An encoder of texts or images, packed likewise. Raises like `pack_original`."""
    job, repository, family, home = order.job, order.repository, order.family, order.home
    require_files(job.model.name, family, repository.files)
    config = order.peek(CONFIG)
    shape = EncoderShape.of(read_config(config))
    small = [
        path for path in wanted_files(family, order.peek(family.files.listing)) if path in repository.files
    ]
    parts = [path for path in order.list_parts() if path != INDEX]
    files = order.find([*small, *parts])
    require_room(job, files)
    download_all(job, files, home)
    with _packing(order) as packed:
        for path in small:
            (packed / path).parent.mkdir(parents=True, exist_ok=True)
            (home / path).replace(packed / path)
        check_files(packed, family)
        (index,) = PACKED_ENCODER.paths(order.precision)
        weights = read_tensors(config, read_weights([home / path for path in parts]))
        hashes = {path: hash_file(home / path) for path in parts}
        about = {"source": {"name": job.model.repository, "files": hashes}}
        write_encoder((packed / index).parent, shape, weights, about)
    return _take_packed(order)


@contextmanager
def _packing(order: Order) -> Iterator[Path]:
    """An empty folder to pack into. Raises BadRequest for what cannot be packed, the pull's files gone."""
    packed = order.folder / PACKED_FOLDER
    shutil.rmtree(packed, ignore_errors=True)
    packed.mkdir(parents=True)
    try:
        yield packed
    except (BadInput, BadRequest) as error:
        shutil.rmtree(order.folder)  # whole as it is, nothing of it will ever be wanted
        raise BadRequest(f"model {order.job.model.name!r} cannot be packed: {_explain(error)}") from error


def _take_packed(order: Order) -> Fetched:
    """Moves what was packed into the model's folder, but for the files that are held; the original goes."""
    folder, packed = order.folder, order.folder / PACKED_FOLDER
    fresh = [path for path in list_paths(packed) if path not in order.held]
    for path in fresh:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (packed / path).replace(folder / path)
    shutil.rmtree(packed)
    shutil.rmtree(order.home)
    (index,) = (path for path in fresh if PurePosixPath(path).name in INDEX_FILES)
    return Fetched(fresh, {index: tuple(path for path in fresh if path.endswith(".bin"))})


def _choose(order: Order) -> list[str]:
    """The files to fetch. A model of another type is refused before anything large is fetched."""
    if _is_gguf(order.original):
        return [order.original]
    require_files(order.job.model.name, order.family, order.repository.files)
    DecoderShape.of(order.peek(CONFIG))
    return [*order.family.files.known, *order.list_parts()]


def _explain(error: BadRequest) -> str:
    return str(error) if isinstance(error, BadInput) else str(error.args[-1])


def _is_gguf(path: str) -> bool:
    return path.lower().endswith(GGUF_ENDING)


PACKERS = {
    "text_generation": pack_original,
    "text_embedding": pack_encoder,
    "vision": pack_encoder,
    "llava": pack_behind_tower,
}
"""By the family's name, of those that have weights packed here."""
