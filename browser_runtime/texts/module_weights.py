"""The weights of the modules that follow a text model's graph, from safetensors, as 32-bit floats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadRequest
from browser_runtime.models.configuration.sentence_modules import (
    WEIGHTS_FILE,
    Dense,
    LayerNorm,
    Module,
    Pooling,
    to_plain,
)

Weights = dict[str, np.ndarray[Any, np.dtype[np.float32]]]

# safetensors' names; bfloat16 is the upper half of a float32.
FLOATS = {"F16": np.float16, "F32": np.float32, "F64": np.float64, "BF16": np.uint16}


def with_weights(folder: Path, modules: tuple[Module, ...]) -> list[dict[str, object]]:
    """The modules as plain values with their weights as arrays, for page and simulation.

    Raises BadRequest if a file is missing or holds other tensors, or two modules do not fit together.
    """
    _require_chain(modules)
    return [{**to_plain(module), **_weights_of(folder, module)} for module in modules]


def _require_chain(modules: tuple[Module, ...]) -> None:
    """Raises BadRequest if a module takes vectors of another size than the one before it gives."""
    width: int | None = None
    for module in modules:
        if isinstance(module, Pooling):
            width = module.width and module.width * len(module.modes)
            continue
        if not isinstance(module, (Dense, LayerNorm)):
            continue
        wanted = module.in_features if isinstance(module, Dense) else module.width
        if width is not None and wanted != width:
            raise BadRequest(f"{module.folder} takes vectors of {wanted} numbers, but is given {width}")
        width = module.out_features if isinstance(module, Dense) else wanted


def _weights_of(folder: Path, module: Module) -> Weights:
    if isinstance(module, LayerNorm):
        tensors = _read(
            folder / module.folder, {"norm.weight": (module.width,), "norm.bias": (module.width,)}
        )
        return {"weight": tensors["norm.weight"], "shift": tensors["norm.bias"]}
    if isinstance(module, Dense):
        return _dense_weights(folder, module)
    return {}


def _dense_weights(folder: Path, module: Dense) -> Weights:
    """`weight` [out, in]; `shift` [out] and `projection` [out, in] where the layer has them."""
    matrix = (module.out_features, module.in_features)
    names: dict[str, str] = {"linear.weight": "weight"}
    shapes: dict[str, tuple[int, ...]] = {"linear.weight": matrix}
    if module.bias:
        names["linear.bias"], shapes["linear.bias"] = "shift", matrix[:1]
    if module.residual and module.in_features != module.out_features:
        names["residual.weight"], shapes["residual.weight"] = "projection", matrix
    tensors = _read(folder / module.folder, shapes)
    return {names[name]: tensor for name, tensor in tensors.items()}


def _read(folder: Path, shapes: dict[str, tuple[int, ...]]) -> Weights:
    """The tensors of exactly these names and shapes. Raises BadRequest for anything else."""
    path = folder / WEIGHTS_FILE
    where = f"{folder.name}/{WEIGHTS_FILE}"
    if not path.is_file():
        raise BadRequest(f"{where} is missing; weights in a pickle (pytorch_model.bin) are never opened")
    tensors = _parse(path, where)
    found = {name: tensor.shape for name, tensor in tensors.items()}
    if found != shapes:
        raise BadRequest(f"{where} holds {found}, but its configuration asks for {shapes}")
    return tensors


def _parse(path: Path, where: str) -> Weights:
    from safetensors import SafetensorError, deserialize

    try:
        entries = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise BadRequest(f"{where} is no safetensors file: {error}") from error
    return {name: _to_floats(entry, f"{name} in {where}") for name, entry in entries}


def _to_floats(entry: Mapping[str, Any], what: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    stored = FLOATS.get(entry["dtype"])
    if stored is None:
        raise BadRequest(f"{what} is of type {entry['dtype']}, not one of {', '.join(FLOATS)}")
    numbers = np.frombuffer(entry["data"], stored)
    if entry["dtype"] == "BF16":
        numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
    return numbers.astype(np.float32).reshape(entry["shape"])
