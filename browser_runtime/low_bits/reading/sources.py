"""A model to quantise: a Hugging Face folder or a GGUF file, with its tokenizer and its chat template."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.low_bits.reading.file_names import GGUF_ENDING
from browser_runtime.low_bits.reading.gguf import GgufFile
from browser_runtime.low_bits.reading.gguf_config import read_config
from browser_runtime.low_bits.reading.gguf_tokenizer import read_tokenizer
from browser_runtime.low_bits.reading.inner import InnerTensors
from browser_runtime.low_bits.reading.safetensors import SafetensorsFiles
from browser_runtime.low_bits.reading.weights import DecoderWeights, gguf_weights, stored_weights
from browser_runtime.low_bits.shape import DecoderShape
from browser_runtime.models.files.json_files import MAX_JSON_BYTES, parse_object
from browser_runtime.models.files.paths import ForeignFolder

CONFIG, TOKENIZER, TOKENIZER_CONFIG = "config.json", "tokenizer.json", "tokenizer_config.json"
# Beside the weights of a Hugging Face folder; the chat template may be in a file of its own.
COMPANIONS = (
    TOKENIZER,
    TOKENIZER_CONFIG,
    "special_tokens_map.json",
    "generation_config.json",
    "chat_template.jinja",
)
MAX_TEMPLATE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class DecoderSource:
    """Weights that can be read one by one, and the small files that go with them."""

    name: str
    home: ForeignFolder
    weights: DecoderWeights
    config: dict[str, Any]
    companions: dict[str, bytes] = field(default_factory=dict)
    """By file name, as they are written beside the packed weights."""
    parts: tuple[str, ...] = ()
    """The files that hold the weights."""
    license: str = "unknown"

    @property
    def shape(self) -> DecoderShape:
        """The decoder's sizes."""
        return self.weights.shape

    def write_companions(self, folder: Path) -> list[str]:
        """Writes config.json, tokenizer and template into the folder; their names."""
        files = {CONFIG: json.dumps(self.config, indent=2).encode() + b"\n", **self.companions}
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return list(files)


def open_source(path: Path) -> DecoderSource:
    """The model at `path`. Raises BadInput or BadRequest for what is not read here, or broken."""
    if path.is_file() and path.suffix == GGUF_ENDING:
        return _open_gguf(ForeignFolder.at(path.parent), path)
    if path.is_dir():
        return open_folder(ForeignFolder.at(path))
    raise BadInput("path", repr(str(path)), "a GGUF file or a folder with a model in safetensors")


def open_folder(home: ForeignFolder) -> DecoderSource:
    """The model in a Hugging Face folder."""
    config = parse_object(_read(home, CONFIG, MAX_JSON_BYTES), CONFIG)
    shape, file = DecoderShape.of(config), SafetensorsFiles(home)
    weights = stored_weights(shape, file, _place(file, home))
    return DecoderSource(home.root.name, home, weights, config, _companions(home, COMPANIONS), file.parts)


def open_inner(path: Path, shape: DecoderShape, companions: Collection[str]) -> DecoderSource:
    """The decoder inside a model that reads images; `companions` are written beside it, as config.json is."""
    home = ForeignFolder.at(path)
    config = parse_object(_read(home, CONFIG, MAX_JSON_BYTES), CONFIG)
    file = SafetensorsFiles(home)
    weights = stored_weights(shape, InnerTensors(file), _place(file, home))
    names = [name for name in companions if name != CONFIG]
    return DecoderSource(path.name, home, weights, config, _companions(home, names), file.parts)


def _place(file: SafetensorsFiles, home: ForeignFolder) -> str:
    return file.parts[0] if len(file.parts) == 1 else home.root.name


def _companions(home: ForeignFolder, names: Collection[str]) -> dict[str, bytes]:
    """The small files that are there. Raises BadRequest for JSON that cannot be read."""
    companions = {name: _read(home, name, _bound(name)) for name in names if _find(home, name)}
    for name, content in companions.items():
        if name.endswith(".json"):
            parse_object(content, name)
    return companions


def _bound(name: str) -> int:
    return MAX_JSON_BYTES if name.endswith(".json") else MAX_TEMPLATE_BYTES


def _find(home: ForeignFolder, name: str) -> bool:
    try:
        return home.find(name) is not None
    except ValueError as error:
        raise BadRequest(f"{name} cannot be read: {error}") from error


def _read(home: ForeignFolder, name: str, max_bytes: int) -> bytes:
    try:
        return home.read(name, max_bytes)
    except (OSError, ValueError) as error:
        raise BadRequest(f"{name} cannot be read: {error}") from error


def _open_gguf(home: ForeignFolder, path: Path) -> DecoderSource:
    file = GgufFile(home, path.name)
    config = read_config(file)
    weights = gguf_weights(DecoderShape.of(config), file)
    tokenizer, tokenizer_config = read_tokenizer(file)
    companions = {
        TOKENIZER: tokenizer.encode(),
        TOKENIZER_CONFIG: json.dumps(tokenizer_config, indent=2, ensure_ascii=False).encode() + b"\n",
    }
    named = file.fields.get("general.license")
    license_ = named if isinstance(named, str) and len(named) < 100 else "unknown"
    return DecoderSource(path.stem, home, weights, config, companions, (path.name,), license_)
