"""The modules of a sentence-transformers model, from modules.json and each module's own folder.

Source: sentence-transformers 6.2, `base/modules` and `sentence_transformer/modules`: keys, defaults and older
names are theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.models.configuration.keys import refuse_unknown, require
from browser_runtime.models.json_files import read_json, read_object
from browser_runtime.models.paths import check_path

MODULES_FILE = "modules.json"
# Where a Pooling lies by default, and the files that a module may have in its folder.
POOLING_FOLDER = "1_Pooling"
CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
# Before and since version 5.
CLASS_ROOTS = (
    "sentence_transformers.models.",
    "sentence_transformers.base.modules.",
    "sentence_transformers.sentence_transformer.modules.",
)
POOLING_MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
# In the order in which older models join the vectors of several modes.
OLDER_POOLING_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
WITHOUT_CONFIG = ("Normalize", "Dropout")
ACTIVATIONS = ("Identity", "ReLU", "Sigmoid", "SiLU", "GELU", "Tanh")
SENTENCE = "sentence_embedding"


@dataclass(frozen=True, slots=True)
class Pooling:
    """One vector of the tokens' vectors; those of several modes one after another."""

    kind: ClassVar[str] = "pooling"
    modes: tuple[str, ...] = ("mean",)
    include_prompt: bool = True
    """False: the prompt's tokens take no part."""
    width: int | None = None
    """Numbers a token's vector has; None where the files do not tell."""


@dataclass(frozen=True, slots=True)
class Dense:
    """A linear layer and its activation."""

    kind: ClassVar[str] = "dense"
    folder: str
    in_features: int
    out_features: int
    bias: bool = True
    activation: str = "Tanh"
    residual: bool = False
    """The layer's input is added to its output, projected where the sizes differ."""


@dataclass(frozen=True, slots=True)
class LayerNorm:
    """Mean 0 and variance 1 over a vector's numbers, scaled and shifted."""

    kind: ClassVar[str] = "layer_norm"
    folder: str
    width: int


@dataclass(frozen=True, slots=True)
class Normalize:
    """Length 1."""

    kind: ClassVar[str] = "normalize"


Module = Pooling | Dense | LayerNorm | Normalize
CLASSES: dict[str, type[Module]] = {each.kind: each for each in (Pooling, Dense, LayerNorm, Normalize)}
DEFAULT_MODULES: tuple[Module, ...] = (Pooling(), Normalize())


def to_plain(module: Module) -> dict[str, Any]:
    """The module as JSON values; `from_plain` is the inverse."""
    values = {
        name: list(value) if isinstance(value, tuple) else value for name, value in asdict(module).items()
    }
    return {"type": module.kind, **values}


def from_plain(plain: dict[str, Any]) -> Module:
    """The module that `to_plain` wrote. Raises BadRequest for anything else."""
    values = dict(plain)
    kind = CLASSES.get(str(values.pop("type", None)))
    if "modes" in values:
        values["modes"] = tuple(values["modes"])
    try:
        return kind(**values)  # type: ignore[misc]
    except TypeError as error:
        raise BadRequest(f"the manifest's module {plain!r} is not known") from error


def list_files(modules: Any) -> list[str]:
    """The files that the modules of modules.json may have, by their paths in the model's folder."""
    folders = [entry["path"] for entry in _entries(modules) if entry["path"]] or [POOLING_FOLDER]
    return [f"{folder}/{name}" for folder in folders for name in (CONFIG_FILE, WEIGHTS_FILE)]


def read_modules(folder: Path) -> tuple[Module, ...] | None:
    """The modules after the transformer, in their order; None where the files name none.

    Raises BadInput for a module, key or value that is not done here, BadRequest for a broken file.
    """
    entries = _entries(read_json(folder / MODULES_FILE))
    if not entries:
        pooling = read_object(folder / POOLING_FOLDER / CONFIG_FILE)
        return (_read_pooling(POOLING_FOLDER, pooling), Normalize()) if pooling else None
    kinds = [_kind(entry) for entry in entries]
    _require_order(kinds)
    _require_root(entries[0])
    found = (
        READERS[kind](entry["path"], _read_config(folder, entry["path"], kind))
        for kind, entry in zip(kinds[1:], entries[1:], strict=True)
    )
    return tuple(module for module in found if module is not None)


def _read_config(folder: Path, path: str, kind: str) -> dict[str, Any]:
    """The module's own configuration. Raises BadRequest where it has none and cannot do without."""
    if kind not in WITHOUT_CONFIG and not (folder / path / CONFIG_FILE).is_file():
        raise BadRequest(
            f"the model has no {path}/{CONFIG_FILE}, which {MODULES_FILE} names: pull or import it again"
        )
    return read_object(folder / path / CONFIG_FILE)


def _entries(modules: Any) -> list[dict[str, Any]]:
    """The list in modules.json, each entry with a class and a folder inside the model's."""
    if modules == {}:
        return []
    is_list = isinstance(modules, list) and all(isinstance(entry, dict) for entry in modules)
    require("the value", MODULES_FILE, modules, is_list and bool(modules), "a list of objects")
    for entry in modules:
        refuse_unknown(entry, ("idx", "name", "path", "type", "kwargs"), MODULES_FILE)
        require("kwargs", MODULES_FILE, entry.get("kwargs"), not entry.get("kwargs"), "empty")
        require(
            "path", MODULES_FILE, entry.get("path"), _is_inside(entry.get("path")), "a folder of the model"
        )
    return list(modules)


def _is_inside(path: Any) -> bool:
    try:
        return isinstance(path, str) and (path == "" or bool(check_path(path)))
    except ValueError:
        return False


def _kind(entry: dict[str, Any]) -> str:
    """The class without where it lies."""
    told = str(entry.get("type"))
    kind = told.rsplit(".", maxsplit=1)[-1]
    known = kind in (*READERS, "Transformer") and told.startswith(CLASS_ROOTS)
    classes = ", ".join(("Transformer", *READERS))
    require("type", MODULES_FILE, told, known, f"one of sentence-transformers' own {classes}")
    return kind


def _require_order(kinds: list[str]) -> None:
    in_order = kinds[:2] == ["Transformer", "Pooling"] and not {"Transformer", "Pooling"} & set(kinds[2:])
    allowed = "a Transformer, its Pooling, and then what changes the vector"
    require("the order", MODULES_FILE, ", ".join(kinds), in_order, allowed)


def _require_root(transformer: dict[str, Any]) -> None:
    path = transformer["path"]
    require(
        "path", MODULES_FILE, path, path == "", "'' for the Transformer: its files lie beside modules.json"
    )


def _read_pooling(path: str, config: dict[str, Any]) -> Pooling:
    where = f"{path}/{CONFIG_FILE}"
    widths = ("embedding_dimension", "word_embedding_dimension")
    refuse_unknown(config, (*widths, *OLDER_POOLING_MODES, "pooling_mode", "include_prompt"), where)
    told = config.get("pooling_mode", _older_modes(config))
    modes = (told,) if isinstance(told, str) else told
    known = isinstance(modes, (list, tuple)) and bool(modes) and all(mode in POOLING_MODES for mode in modes)
    require("pooling_mode", where, told, known, f"one or several of {', '.join(POOLING_MODES)}")
    include_prompt = config.get("include_prompt", True)
    require("include_prompt", where, include_prompt, isinstance(include_prompt, bool), "true or false")
    width = next((config[name] for name in widths if name in config), None)
    return Pooling(tuple(modes), include_prompt, width)


def _older_modes(config: dict[str, Any]) -> list[str]:
    return [mode for key, mode in OLDER_POOLING_MODES.items() if config.get(key)] or ["mean"]


def _read_dense(path: str, config: dict[str, Any]) -> Dense:
    where = f"{path}/{CONFIG_FILE}"
    known = ("in_features", "out_features", "bias", "activation_function", "use_residual")
    refuse_unknown(config, (*known, "module_input_name", "module_output_name"), where)
    _require_on_sentence(config, where)
    bias, residual = config.get("bias", True), config.get("use_residual", False)
    require("bias", where, bias, isinstance(bias, bool), "true or false")
    require("use_residual", where, residual, isinstance(residual, bool), "true or false")
    in_features, out_features = _size(config, "in_features", where), _size(config, "out_features", where)
    return Dense(path, in_features, out_features, bias, _activation(config, where), residual)


def _activation(config: dict[str, Any], where: str) -> str:
    told = config.get("activation_function", "torch.nn.Tanh")
    name = str(told).rsplit(".", maxsplit=1)[-1]
    known = str(told).startswith("torch.nn.") and name in ACTIVATIONS
    require("activation_function", where, told, known, f"torch.nn's {', '.join(ACTIVATIONS)}")
    return name


def _read_layer_norm(path: str, config: dict[str, Any]) -> LayerNorm:
    where = f"{path}/{CONFIG_FILE}"
    refuse_unknown(config, ("dimension",), where)
    return LayerNorm(path, _size(config, "dimension", where))


def _read_normalize(path: str, config: dict[str, Any]) -> Normalize:
    where = f"{path}/{CONFIG_FILE}"
    refuse_unknown(config, ("module_input_name", "module_output_name"), where)
    _require_on_sentence(config, where)
    return Normalize()


def _read_dropout(path: str, config: dict[str, Any]) -> None:
    """Nothing: it is for training."""
    refuse_unknown(config, ("dropout",), f"{path}/{CONFIG_FILE}")


def _require_on_sentence(config: dict[str, Any], where: str) -> None:
    """Raises BadInput for a module that takes or gives anything but the sentence's vector."""
    for name in ("module_input_name", "module_output_name"):
        value = config.get(name) or SENTENCE
        require(name, where, value, value == SENTENCE, repr(SENTENCE))


def _size(config: dict[str, Any], name: str, where: str) -> int:
    value = config.get(name)
    if type(value) is int and value > 0:
        return value
    raise BadInput(f"{name} of {where}", repr(value), "a whole number from 1")


READERS: dict[str, Callable[[str, dict[str, Any]], Module | None]] = {
    "Pooling": _read_pooling,
    "Dense": _read_dense,
    "LayerNorm": _read_layer_norm,
    "Normalize": _read_normalize,
    "Dropout": _read_dropout,
}
