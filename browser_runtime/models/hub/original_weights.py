"""Original weights in a Hub repository, which a model is quantised from: safetensors, or GGUF."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.contract.family_spec import FamilySpec
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.low_bits.reading.file_names import GGUF_ENDING, INDEX, SINGLE
from browser_runtime.models.files.paths import shorten

# By the words of a file's name, what loses least first; other formats are not read here.
GGUF_TYPES = (
    *("bf16", "f16", "fp16", "f32", "q8_0", "q6_k", "q5_k_m", "q5_k_s", "q5_1", "q5_0"),
    *("q4_k_m", "q4_k_s", "q4_1", "q4_0", "q3_k_l", "q3_k_m", "q3_k_s", "q2_k"),
)
PART = re.compile(r"-\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)
# Not `mixed`: its bits are chosen tensor by tensor.
CHOSEN_BITS = {
    Precision.BITS_2: 2,
    Precision.BITS_3: 3,
    Precision.BITS_4: 4,
    Precision.BITS_8: 8,
    Precision.FP16: 16,
}


def find_original(name: str, family: FamilySpec, precision: Precision, paths: Collection[str]) -> str | None:
    """The file that leads to the weights to quantise for `precision`: an index, safetensors or GGUF.

    None where the graphs are there as they are, and where there is nothing to quantise. Raises BadInput for a
    mixture of bits, which is for the user to choose, and BadRequest where no GGUF file is read here.
    """
    for graphs in family.layouts:
        is_there = all(any(path in paths for path in graph.paths(precision)) for graph in graphs)
        packed = [graph for graph in graphs if not graph.is_onnx and graph.paths(precision)]
        if is_there and not packed:
            return None
        others = [graph for graph in graphs if graph.is_onnx]
        if packed and all(any(path in paths for path in graph.paths(precision)) for graph in others):
            _require_chosen(precision)
            whole = next((path for path in (SINGLE, INDEX) if path in paths), None)
            is_language_model = family.generates and not others
            if found := whole or (_find_gguf(name, paths) if is_language_model else None):
                return found
    return None


def _require_chosen(precision: Precision) -> None:
    if precision not in CHOSEN_BITS:
        allowed = f"one of {', '.join(CHOSEN_BITS)}; a mixture is made by `webinfer models quantize`"
        raise BadInput("precision", repr(str(precision)), allowed)


def list_originals(name: str, family: FamilySpec, paths: Collection[str]) -> tuple[Precision, ...]:
    """The precisions that can be packed here of what the repository holds."""
    return tuple(one for one in CHOSEN_BITS if find_original(name, family, one, paths) is not None)


def _find_gguf(name: str, paths: Collection[str]) -> str | None:
    """The file that loses least."""
    files = [path for path in sorted(paths) if path.lower().endswith(GGUF_ENDING)]
    read = {kind: path for kind in reversed(GGUF_TYPES) for path in files if _is_of(path, kind)}
    best = next((read[kind] for kind in GGUF_TYPES if kind in read), None)
    if best is None and len(files) == 1 and not PART.search(files[0]):
        return files[0]
    if best is None and files:
        known = ", ".join(GGUF_TYPES)
        raise BadRequest(
            f"of the GGUF files of model {name!r} none is one whole file of {known}: {', '.join(files)}"[:400]
        )
    return best


def _is_of(path: str, kind: str) -> bool:
    file = path.lower().rpartition("/")[2]
    return not PART.search(file) and re.search(rf"(^|[-._]){kind}\.gguf$", file) is not None


def list_shards(name: str, index: Mapping[str, Any], paths: Collection[str]) -> tuple[str, ...]:
    """The files that the index of a model in several safetensors names. Raises BadRequest for odd ones."""
    places = index.get("weight_map")
    if not isinstance(places, dict) or not places:
        raise BadRequest(f"{INDEX} of model {name!r} has no weight_map")
    found = sorted({str(place) for place in places.values()})
    missing = next((place for place in found if place not in paths), None)
    if missing is not None:
        raise BadRequest(f"model {name!r} lacks {shorten(missing)}, which {INDEX} names")
    return tuple(found)
