"""Packs a language model of the Hub in few bits: its weights are fetched, quantised, and not kept."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.contract.family_spec import FamilySpec
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.families.processor import check_files
from browser_runtime.low_bits.model_file import FILE
from browser_runtime.low_bits.quantising.bit_plan import ENDS_BITS, BitPlan
from browser_runtime.low_bits.quantising.packing_up import Wish
from browser_runtime.low_bits.reading.file_names import GGUF_ENDING, INDEX
from browser_runtime.low_bits.reading.sources import CONFIG, open_source
from browser_runtime.low_bits.shape import DecoderShape
from browser_runtime.models.hub.downloading import Progress
from browser_runtime.models.hub.fetching import Fetched, Pull, download_all, peek, require_room
from browser_runtime.models.hub.original_weights import CHOSEN_BITS, list_shards
from browser_runtime.models.hub.repository import Repository
from browser_runtime.models.intake.packed_folders import quantise_to_folder
from browser_runtime.models.intake.traits import require_files
from browser_runtime.models.manifest import list_paths

# Of a pull that is under way: what is packed, and what came of it.
ORIGINAL_FOLDER, PACKED_FOLDER = "original", "packed"


def pack_original(
    job: Pull,
    repository: Repository,
    folder: Path,
    family: FamilySpec,
    precision: Precision,
    original: str,
    held: Collection[str],
) -> Fetched:
    """The model in `precision`, packed of the weights that `original` leads to; without the files `held`.

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

    packed = folder / PACKED_FOLDER
    shutil.rmtree(packed, ignore_errors=True)
    bits = CHOSEN_BITS[precision]
    ends = max(bits, ENDS_BITS)
    try:
        source = open_source(home / original if _is_gguf(original) else home)
        quantise_to_folder(source, Wish(BitPlan(bits, ends, ends)), packed, tell)
        check_files(packed, family)
    except (BadInput, BadRequest) as error:
        shutil.rmtree(folder)  # whole as it is, nothing of it will ever be wanted
        raise BadRequest(f"model {job.model.name!r} cannot be packed: {_explain(error)}") from error
    fresh = [path for path in list_paths(packed) if path not in held]
    for path in fresh:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (packed / path).replace(folder / path)
    shutil.rmtree(packed)
    shutil.rmtree(home)
    (index,) = (path for path in fresh if path.endswith(FILE))
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
