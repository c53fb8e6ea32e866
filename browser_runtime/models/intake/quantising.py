"""Takes a language model into the store in few bits, from safetensors, GGUF, or a stored one of 16 bits."""

from __future__ import annotations

import time
from pathlib import Path

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.families import find_row
from browser_runtime.contract.vocabulary import check_model_name
from browser_runtime.families.processor import check_files, find_processor
from browser_runtime.low_bits.model_file import FILE, PackedModel
from browser_runtime.low_bits.quantising.bit_plan import BitPlan
from browser_runtime.low_bits.quantising.packing_up import Wish
from browser_runtime.low_bits.quantising.quantiser import Tell
from browser_runtime.low_bits.reading.file_names import GGUF_ENDING
from browser_runtime.low_bits.reading.sources import COMPANIONS, CONFIG, DecoderSource, open_source
from browser_runtime.low_bits.shape import CLASSES
from browser_runtime.models.files.graphs import available_precisions, group_weights
from browser_runtime.models.files.integrity import describe_file
from browser_runtime.models.files.json_files import MAX_JSON_BYTES, parse_object
from browser_runtime.models.files.locking import hold_lock, lock_path
from browser_runtime.models.files.paths import ForeignFolder
from browser_runtime.models.files.scratch import hold_scratch
from browser_runtime.models.intake.packed_folders import EXACT, QuantisedModel, quantise_to_folder
from browser_runtime.models.intake.settling import LOCK_TIMEOUT_S, hash_contents, require_free_home, settle
from browser_runtime.models.manifest import StoredModel, list_paths, write_manifest
from browser_runtime.models.store import ModelStore

FAMILY = "text_generation"
AS_IT_IS = BitPlan(16, embedding=16, head=16)
"""An import without quantising."""


def is_language_model(path: Path) -> bool:
    """True for a GGUF file, and for a folder whose config.json names a decoder that is read here."""
    if path.suffix == GGUF_ENDING:
        return path.is_file()
    config = path / CONFIG
    if not config.is_file() or any(path.glob("*.onnx")) or any(path.glob("onnx/*.onnx")):
        return False
    with config.open("rb") as stream:
        return parse_object(stream.read(MAX_JSON_BYTES + 1), CONFIG).get("model_type") in CLASSES


def find_source(model: str, store: ModelStore) -> DecoderSource:
    """The weights at a path, or those of a stored model with 16 bits. Raises BadInput, BadRequest."""
    path = Path(model)
    if path.exists():
        return open_source(path)
    try:
        stored = store.find(model)
    except BadInput:
        stored = None
    if stored is None:
        raise BadInput("MODEL", repr(model), "a GGUF file, a folder with safetensors, or a stored model")
    return _open_stored(stored)


def _open_stored(stored: StoredModel) -> DecoderSource:
    folder = stored.folder / EXACT
    if f"{EXACT}/{FILE}" not in stored.files:
        raise BadInput(
            "MODEL", repr(stored.name), f"a model that is stored in {EXACT}, before any quantising"
        )
    packed, home = PackedModel.open(folder), ForeignFolder.at(stored.folder)
    companions = {name: home.read(name, MAX_JSON_BYTES) for name in COMPANIONS if name in stored.files}
    config = parse_object(home.read(CONFIG, MAX_JSON_BYTES), CONFIG) if CONFIG in stored.files else {}
    parts = tuple(f"{EXACT}/{shard.path}" for shard in packed.shards)
    return DecoderSource(stored.name, home, packed, config, companions, parts, stored.license)


def quantise_to_store(
    source: DecoderSource, wish: Wish, name: str, store: ModelStore, tell: Tell
) -> QuantisedModel:
    """Puts the packed model into the store under `name`. Raises BadInput, BadRequest, SetupError."""
    family = find_row(FAMILY)
    require_free_home(check_model_name(name, "--name"), store)
    with (
        hold_scratch(store.root) as scratch,
        hold_lock(lock_path(store.root, name), f"model {name!r}", time.monotonic() + LOCK_TIMEOUT_S),
    ):
        made = quantise_to_folder(source, wish, scratch / "model", tell)
        check_files(made.folder, family)
        files = {path: describe_file(made.folder / path) for path in list_paths(made.folder)}
        shards = tuple(path for path in files if path.endswith(".bin"))
        model = StoredModel(
            name=name,
            family=family,
            folder=made.folder,
            revision=hash_contents(files),
            settings=find_processor(family).read_settings(made.folder),
            precisions=available_precisions(family, files),
            files=files,
            source=f"quantised from {source.name}",
            license=source.license,
            extra={"quantised": made.quantised.divergence.to_plain() | {"plan": made.plan.to_plain()}},
            weights=group_weights(files, {f"{made.precision}/{FILE}": shards}),
        )
        write_manifest(model)
        stored = settle(model, store)
        return QuantisedModel(stored.folder, name, made.precision, made.plan, made.quantised)
