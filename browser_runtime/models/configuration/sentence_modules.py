"""The modules of a sentence-transformers model, from modules.json and each module's own folder.

Source: sentence-transformers 6.2, `base/modules` and `sentence_transformer/modules`: keys, defaults and older
names are theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.models.configuration.fields import (
    ANYTHING,
    FLAG,
    SHOWN_CHARACTERS,
    Fields,
    Rule,
    only,
    whole,
)
from browser_runtime.models.files.json_files import Json, read_json, read_object
from browser_runtime.models.files.paths import check_path

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
WITH_CONFIG = ("Pooling", "Dense", "LayerNorm")
ACTIVATIONS = ("Identity", "ReLU", "Sigmoid", "SiLU", "GELU", "Tanh")
SENTENCE = "sentence_embedding"


def _is_inside(path: Any) -> bool:
    try:
        return path == "" or bool(check_path(path))
    except ValueError:
        return False


def _are_modes(modes: Any) -> bool:
    several = [modes] if isinstance(modes, str) else modes
    return isinstance(several, list) and bool(several) and all(mode in POOLING_MODES for mode in several)


def _is_activation(name: Any) -> bool:
    return str(name).startswith("torch.nn.") and str(name).rsplit(".", maxsplit=1)[-1] in ACTIVATIONS


SIZE = whole(1 << 20)
INSIDE = Rule("a folder of the model", _is_inside)
ENTRY_RULES = {
    "idx": ANYTHING,
    "name": ANYTHING,
    "path": INSIDE,
    "type": ANYTHING,
    "kwargs": only([], {}, why="no module takes any here"),
}
POOLING_RULES = {
    "embedding_dimension": SIZE,
    "word_embedding_dimension": SIZE,
    "pooling_mode": Rule(f"one or several of {', '.join(POOLING_MODES)}", _are_modes),
    **dict.fromkeys(OLDER_POOLING_MODES, FLAG),
    "include_prompt": FLAG,
}
# A module takes and gives the text's vector.
NORMALIZE_RULES = dict.fromkeys(("module_input_name", "module_output_name"), only(SENTENCE))
DENSE_RULES = NORMALIZE_RULES | {
    "in_features": SIZE,
    "out_features": SIZE,
    "bias": FLAG,
    "activation_function": Rule(f"torch.nn's {', '.join(ACTIVATIONS)}", _is_activation),
    "use_residual": FLAG,
}
LAYER_NORM_RULES = {"dimension": SIZE}


@dataclass(frozen=True, slots=True)
class Pooling:
    """One vector of the tokens' vectors; those of several modes one after another."""

    kind: ClassVar[str] = "pooling"
    modes: tuple[str, ...] = ("mean",)
    include_prompt: bool = True
    """False: the prompt's tokens take no part."""
    width: int | None = None
    """Numbers a token's vector has; None if the files do not say."""


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


def to_plain(module: Module) -> Json:
    """The module as JSON values; `from_plain` is the inverse."""
    values = {
        name: list(value) if isinstance(value, tuple) else value for name, value in asdict(module).items()
    }
    return {"type": module.kind, **values}


def from_plain(plain: Mapping[str, Any]) -> Module:
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
    folders = [path for entry in _entries(modules) if (path := _path(entry))] or [POOLING_FOLDER]
    return [f"{folder}/{name}" for folder in folders for name in (CONFIG_FILE, WEIGHTS_FILE)]


def read_modules(folder: Path) -> tuple[Module, ...] | None:
    """The modules after the transformer, in their order; None if the files name none.

    Raises BadInput for a module, key or value that is not done here, BadRequest for a broken file.
    """
    entries = _entries(read_json(folder / MODULES_FILE))
    if not entries:
        found = _read_module(folder, POOLING_FOLDER, "Pooling")
        return (found, Normalize()) if found and (folder / POOLING_FOLDER / CONFIG_FILE).is_file() else None
    kinds = [_kind(entry) for entry in entries]
    _require_order(kinds, entries[0])
    _require_configurations(folder, zip(kinds, map(_path, entries), strict=True))
    read = (_read_module(folder, _path(entry), kind) for kind, entry in zip(kinds, entries, strict=True))
    return tuple(module for module in read if module is not None)


def _read_module(folder: Path, path: str, kind: str) -> Module | None:
    """The module in the folder; None for one that changes nothing here."""
    rules, read = READERS[kind]
    if kind == "Transformer":
        return None
    fields = Fields(f"{path}/{CONFIG_FILE}", read_object(folder / path / CONFIG_FILE))
    fields.hold_to(rules, kind)
    return read(path, fields)


def _require_configurations(folder: Path, modules: Iterable[tuple[str, str]]) -> None:
    """Raises BadRequest for a module that cannot do without a configuration, and has none."""
    for kind, path in modules:
        if kind in WITH_CONFIG and not (folder / path / CONFIG_FILE).is_file():
            whole = "pull or import it again"
            raise BadRequest(f"the model has no {path}/{CONFIG_FILE}, which {MODULES_FILE} names: {whole}")


def _entries(modules: Any) -> list[Fields]:
    """The list in modules.json, each entry with a class and a folder inside the model's."""
    if modules == {}:
        return []
    if not isinstance(modules, list) or not modules:
        raise BadInput(MODULES_FILE, repr(modules)[:SHOWN_CHARACTERS], "a list of modules")
    entries = [Fields(MODULES_FILE, entry) for entry in modules]
    for entry in entries:
        entry.hold_to(ENTRY_RULES)
    return entries


def _path(entry: Fields) -> str:
    return str(entry.get("path", ""))


def _kind(entry: Fields) -> str:
    """The class without where it lies. Raises BadInput for one that is not done here."""
    name = str(entry.get("type"))
    kind = name.rsplit(".", maxsplit=1)[-1]
    if kind in READERS and name.startswith(CLASS_ROOTS):
        return kind
    raise entry.refusal("type", f"one of sentence-transformers' own {', '.join(READERS)}")


def _require_order(kinds: list[str], first: Fields) -> None:
    """Raises BadInput unless they are a transformer, its pooling, and modules that follow it."""
    if kinds[:2] != ["Transformer", "Pooling"] or {"Transformer", "Pooling"} & set(kinds[2:]):
        order = "a Transformer, its Pooling, and then what changes the vector"
        raise BadInput(f"the order of {MODULES_FILE}", repr(", ".join(kinds)), order)
    if _path(first):
        raise first.refusal("path", "'' for the Transformer: its files lie beside modules.json")


def _read_pooling(path: str, fields: Fields) -> Pooling:
    given = fields.get("pooling_mode", _older_modes(fields))
    width = fields.get("embedding_dimension", fields.get("word_embedding_dimension"))
    modes = (given,) if isinstance(given, str) else tuple(given)
    return Pooling(modes, fields.get("include_prompt", True), width)


def _older_modes(fields: Fields) -> list[str]:
    return [mode for key, mode in OLDER_POOLING_MODES.items() if fields.get(key)] or ["mean"]


def _read_dense(path: str, fields: Fields) -> Dense:
    activation = str(fields.get("activation_function", "torch.nn.Tanh")).rsplit(".", maxsplit=1)[-1]
    return Dense(
        path,
        _required(fields, "in_features"),
        _required(fields, "out_features"),
        fields.get("bias", True),
        activation,
        fields.get("use_residual", False),
    )


def _read_layer_norm(path: str, fields: Fields) -> LayerNorm:
    return LayerNorm(path, _required(fields, "dimension"))


def _required(fields: Fields, key: str) -> int:
    value = fields.get(key)
    if value is None:
        raise fields.refusal(key, SIZE.allowed)
    return int(value)


READERS: dict[str, tuple[Mapping[str, Rule], Callable[[str, Fields], Module | None]]] = {
    "Transformer": ({}, lambda path, fields: None),
    "Pooling": (POOLING_RULES, _read_pooling),
    "Dense": (DENSE_RULES, _read_dense),
    "LayerNorm": (LAYER_NORM_RULES, _read_layer_norm),
    "Normalize": (NORMALIZE_RULES, lambda path, fields: Normalize()),
    # It is for training.
    "Dropout": ({"dropout": ANYTHING}, lambda path, fields: None),
}
"""The modules that are done, by class: what their config.json may hold, and how it is read."""
