"""A packed model's index and shards on disk, whatever the model is: `page/kernels/README.md`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import BadRequest
from browser_runtime.low_bits.arrays import FloatArray
from browser_runtime.low_bits.packing import ALIGNMENT, BITS, tensor_bytes, unpack
from browser_runtime.models.configuration.fields import ANYTHING, Fields, Rule, is_whole, only, whole
from browser_runtime.models.files.json_files import MAX_JSON_BYTES, parse_object
from browser_runtime.models.files.paths import ForeignFolder, check_path, check_together, shorten

FORMAT, VERSION = "webinfer-low-bits", 1
SHARD_BYTES = 16 << 20
"""A shard is one step of progress; a larger tensor has one to itself."""
MAX_SHARDS = 1 << 14
OBJECT = Rule("an object", lambda value: isinstance(value, dict))
TOP = {
    "format": only(FORMAT),
    "version": only(VERSION),
    "architecture": OBJECT,
    "tensors": OBJECT,
    "shards": Rule("a list", lambda value: isinstance(value, list) and 0 < len(value) <= MAX_SHARDS),
    "about": ANYTHING,
}
SHARD = {
    "path": Rule("a path", lambda value: isinstance(value, str)),
    "size_bytes": whole(1 << 40),
    "sha256": Rule("64 hex digits", lambda value: isinstance(value, str) and len(value) == 64),
}
OFFSET = Rule("a multiple of 64", lambda value: is_whole(value, 1 << 40, 0) and value % ALIGNMENT == 0)
TENSOR = {
    "shape": Rule("a list of sizes", lambda value: isinstance(value, list) and len(value) in (1, 2)),
    "bits": only(*BITS),
    "shard": whole(MAX_SHARDS, 0),
    "offset": OFFSET,
    "size_bytes": whole(1 << 40),
}


@dataclass(frozen=True, slots=True)
class PackedTensor:
    """The place of a tensor, and its bits."""

    shape: tuple[int, ...]
    bits: int
    shard: int
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of tensors."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class PackedFile:
    """An index that was read: where each tensor is, and what it says of the model."""

    home: ForeignFolder
    name: str
    """The index, named in errors."""
    architecture: Any
    tensors: dict[str, PackedTensor]
    shards: tuple[Shard, ...]
    about: dict[str, Any]

    @classmethod
    def open(cls, folder: Path, name: str) -> PackedFile:
        """The index `name` of the folder. Raises BadInput or BadRequest for what the format has not."""
        home = ForeignFolder.at(folder)
        try:
            content = home.read(name, MAX_JSON_BYTES)
        except (OSError, ValueError) as error:
            raise BadRequest(f"{name} cannot be read: {error}") from error
        fields = hold(parse_object(content, name), TOP, name)
        tensors = {
            tensor: _read_tensor(tensor, entry, name)
            for tensor, entry in fields.get("tensors").items()
            if isinstance(tensor, str)
        }
        shards = tuple(_read_shard(home, entry, name) for entry in fields.get("shards"))
        check_together([shard.path for shard in shards])
        about = fields.get("about", {})
        return cls(
            home, name, fields.get("architecture"), tensors, shards, about if isinstance(about, dict) else {}
        )

    @property
    def size_bytes(self) -> int:
        """Bytes that a page loads."""
        return sum(shard.size_bytes for shard in self.shards)

    def read(self, name: str) -> FloatArray:
        """The numbers that a tensor stands for. Raises BadRequest where its shard ends before it."""
        tensor = self.tensors[name]
        with self.home.open(self.shards[tensor.shard].path) as stream:
            stream.seek(tensor.offset)
            content = stream.read(tensor.size_bytes)
        if len(content) != tensor.size_bytes:
            raise BadRequest(f"{self.shards[tensor.shard].path} ends within the tensor {name}")
        return unpack(content, tensor.bits, tensor.shape)

    def require_tensors(self, wanted: Mapping[str, tuple[int, ...]]) -> None:
        """Returns where exactly those tensors are there, inside their shards and apart. Raises BadRequest."""
        for name in sorted(wanted.keys() ^ self.tensors.keys()):
            flaw = "is missing" if name in wanted else "must be left out: it is no part of the architecture"
            raise BadRequest(f"the tensor {shorten(name)} of {self.name} {flaw}")
        ends = [0] * len(self.shards)
        places = sorted(self.tensors.items(), key=lambda entry: (entry[1].shard, entry[1].offset))
        for name, tensor in places:
            where = f"the tensor {name} of {self.name}"
            if tensor.shape != wanted[name]:
                raise BadRequest(f"{where} is {list(tensor.shape)}, not {list(wanted[name])}")
            end = tensor.offset + tensor.size_bytes
            if tensor.shard >= len(self.shards) or end > self.shards[tensor.shard].size_bytes:
                raise BadRequest(f"{where} does not lie in its shard")
            if tensor.offset < ends[tensor.shard]:
                raise BadRequest(f"{where} overlaps the one before it")
            ends[tensor.shard] = end


def hold(values: Any, rules: Mapping[str, Rule], where: str) -> Fields:
    """The object where each key is there, and each value is as it must be."""
    fields = Fields(where, values)
    fields.hold_to(rules)
    for key, rule in rules.items():
        if rule is not ANYTHING and fields.get(key) is None:
            raise fields.refusal(key, rule.allowed)
    return fields


def _read_tensor(name: str, entry: Any, file: str) -> PackedTensor:
    fields = hold(entry, TENSOR, f"tensor {shorten(name)} of {file}")
    if not all(is_whole(size, 1 << 40) for size in fields.get("shape")):
        raise fields.refusal("shape", "a list of sizes")
    shape, bits, size_bytes = tuple(fields.get("shape")), fields.get("bits"), fields.get("size_bytes")
    if len(shape) == 1 and bits != 32:
        raise fields.refusal("bits", "32: a vector is never packed")
    if size_bytes != tensor_bytes(bits, shape):
        raise fields.refusal("size_bytes", f"{tensor_bytes(bits, shape)}, which {list(shape)} takes")
    return PackedTensor(shape, bits, fields.get("shard"), fields.get("offset"), size_bytes)


def _read_shard(home: ForeignFolder, entry: Any, file: str) -> Shard:
    fields = hold(entry, SHARD, f"a shard of {file}")
    try:
        path = check_path(fields.get("path"))
        found = home.find(path)
    except ValueError as error:
        raise BadRequest(f"{file} names {shorten(fields.get('path'))} as a shard: {error}") from error
    size_bytes = None if found is None else found.stat().st_size
    if size_bytes != fields.get("size_bytes"):
        raise fields.refusal(
            "size_bytes", "missing" if size_bytes is None else f"{size_bytes}, the file's size"
        )
    return Shard(path, fields.get("size_bytes"), fields.get("sha256"))


@dataclass
class ModelWriter:
    """Writes tensors as they come into shards of a folder, and at last their index."""

    folder: Path
    tensors: dict[str, PackedTensor] = field(default_factory=dict)
    shards: list[Shard] = field(default_factory=list)
    _pending: list[bytes] = field(default_factory=list)

    def add(self, name: str, shape: tuple[int, ...], bits: int, content: bytes) -> None:
        """Puts one packed tensor after the others."""
        if self._pending and self._pending_bytes + len(content) > SHARD_BYTES:
            self._close()
        place = (len(self.shards), self._pending_bytes)
        self.tensors[name] = PackedTensor(shape, bits, *place, size_bytes=len(content))
        self._pending.append(content)

    @property
    def _pending_bytes(self) -> int:
        return sum(map(len, self._pending))

    def _close(self) -> None:
        path, content = f"low_bits-{len(self.shards):04}.bin", b"".join(self._pending)
        (self.folder / path).write_bytes(content)
        self.shards.append(Shard(path, len(content), hashlib.sha256(content).hexdigest()))
        self._pending.clear()

    def finish(self, file: str, architecture: Mapping[str, Any], about: Mapping[str, Any]) -> list[str]:
        """Writes the index; the names of all files."""
        self._close()
        plain = {
            "format": FORMAT,
            "version": VERSION,
            "architecture": dict(architecture),
            "tensors": {name: _tensor_to_plain(tensor) for name, tensor in self.tensors.items()},
            "shards": [
                {"path": shard.path, "size_bytes": shard.size_bytes, "sha256": shard.sha256}
                for shard in self.shards
            ],
            "about": dict(about),
        }
        (self.folder / file).write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
        return [file, *(shard.path for shard in self.shards)]


def _tensor_to_plain(tensor: PackedTensor) -> dict[str, Any]:
    return {
        "shape": list(tensor.shape),
        "bits": tensor.bits,
        "shard": tensor.shard,
        "offset": tensor.offset,
        "size_bytes": tensor.size_bytes,
    }
