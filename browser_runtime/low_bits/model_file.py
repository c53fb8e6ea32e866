"""A packed model on disk, as `page/kernels/README.md` has it: `low_bits.json` and its shards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import BadRequest
from browser_runtime.low_bits.arrays import FloatArray
from browser_runtime.low_bits.packing import ALIGNMENT, BITS, tensor_bytes, unpack
from browser_runtime.low_bits.reading.weights import layer_shapes, tensor_shapes
from browser_runtime.low_bits.rope import Rope
from browser_runtime.low_bits.shape import MAX_HEADS, MAX_LAYERS, MAX_VOCABULARY, MAX_WIDTH, DecoderShape
from browser_runtime.models.configuration.fields import (
    ANYTHING,
    FLAG,
    Fields,
    Rule,
    is_number,
    is_whole,
    only,
    whole,
)
from browser_runtime.models.files.json_files import MAX_JSON_BYTES, parse_object
from browser_runtime.models.files.paths import ForeignFolder, check_path, check_together, shorten

FILE = "low_bits.json"
FORMAT, VERSION = "webinfer-low-bits", 1
SHARD_BYTES = 16 << 20
"""A shard is one step of progress; a larger tensor has one to itself."""
MAX_SHARDS = 1 << 14
NUMBERS = Rule("a list of numbers", lambda value: isinstance(value, list) and all(map(is_number, value)))
ARCHITECTURE: dict[str, Rule] = {
    "layers": whole(MAX_LAYERS),
    "width": whole(MAX_WIDTH),
    "heads": whole(MAX_HEADS),
    "kv_heads": whole(MAX_HEADS),
    "head_dim": whole(1 << 12),
    "ffn": whole(4 * MAX_WIDTH),
    "vocab": whole(MAX_VOCABULARY),
    "norm_eps": Rule("a number above 0", lambda value: is_number(value) and value > 0),
    "max_positions": whole(1 << 24),
    "rope": Rule("an object", lambda value: isinstance(value, dict)),
    "tied_head": FLAG,
    "qk_norm": FLAG,
    "activation": only("silu"),
    "values_rotated": FLAG,
}
TOP = {
    "format": only(FORMAT),
    "version": only(VERSION),
    "architecture": Rule("an object", lambda value: isinstance(value, dict)),
    "tensors": Rule("an object", lambda value: isinstance(value, dict)),
    "shards": Rule("a list", lambda value: isinstance(value, list) and 0 < len(value) <= MAX_SHARDS),
    "about": ANYTHING,
}
ROPE = {"inverse_frequencies": NUMBERS, "attention_factor": Rule("a number", is_number)}
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
class PackedModel:
    """A packed model that was opened: its shape, and where each tensor is."""

    home: ForeignFolder
    shape: DecoderShape
    tensors: dict[str, PackedTensor]
    shards: tuple[Shard, ...]
    values_rotated: bool
    about: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path) -> PackedModel:
        """The model in the folder. Raises BadInput or BadRequest for whatever is not as the format has it."""
        home = ForeignFolder.at(folder)
        try:
            content = home.read(FILE, MAX_JSON_BYTES)
        except (OSError, ValueError) as error:
            raise BadRequest(f"{FILE} cannot be read: {error}") from error
        fields = _hold(parse_object(content, FILE), TOP, FILE)
        tensors = {
            name: _read_tensor(name, entry)
            for name, entry in fields.get("tensors").items()
            if isinstance(name, str)
        }
        shards = tuple(_read_shard(home, entry) for entry in fields.get("shards"))
        check_together([shard.path for shard in shards])
        architecture = _hold(fields.get("architecture"), ARCHITECTURE, f"architecture of {FILE}")
        shape = _read_shape(architecture, tensors)
        _check_tensors(shape, tensors, shards)
        about = fields.get("about", {})
        rotated = architecture.get("values_rotated")
        return cls(home, shape, tensors, shards, rotated, about if isinstance(about, dict) else {})

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


def _hold(values: Any, rules: Mapping[str, Rule], where: str) -> Fields:
    """The object where each key is there, and each value is as it must be."""
    fields = Fields(where, values)
    fields.hold_to(rules)
    for key, rule in rules.items():
        if rule is not ANYTHING and fields.get(key) is None:
            raise fields.refusal(key, rule.allowed)
    return fields


def _read_tensor(name: str, entry: Any) -> PackedTensor:
    fields = _hold(entry, TENSOR, f"tensor {shorten(name)} of {FILE}")
    if not all(is_whole(size, 1 << 40) for size in fields.get("shape")):
        raise fields.refusal("shape", "a list of sizes")
    shape, bits, size_bytes = tuple(fields.get("shape")), fields.get("bits"), fields.get("size_bytes")
    if len(shape) == 1 and bits != 32:
        raise fields.refusal("bits", "32: a vector is never packed")
    if size_bytes != tensor_bytes(bits, shape):
        raise fields.refusal("size_bytes", f"{tensor_bytes(bits, shape)}, which {list(shape)} takes")
    return PackedTensor(shape, bits, fields.get("shard"), fields.get("offset"), size_bytes)


def _read_shard(home: ForeignFolder, entry: Any) -> Shard:
    fields = _hold(entry, SHARD, f"a shard of {FILE}")
    try:
        path = check_path(fields.get("path"))
        found = home.find(path)
    except ValueError as error:
        raise BadRequest(f"{FILE} names {shorten(fields.get('path'))} as a shard: {error}") from error
    size_bytes = None if found is None else found.stat().st_size
    if size_bytes != fields.get("size_bytes"):
        raise fields.refusal(
            "size_bytes", "missing" if size_bytes is None else f"{size_bytes}, the file's size"
        )
    return Shard(path, fields.get("size_bytes"), fields.get("sha256"))


def _read_shape(fields: Fields, tensors: Mapping[str, PackedTensor]) -> DecoderShape:
    rope = _hold(fields.get("rope"), ROPE, f"rope of {FILE}")
    frequencies, head_width = tuple(map(float, rope.get("inverse_frequencies"))), fields.get("head_dim")
    if not 0 < 2 * len(frequencies) <= head_width or min(frequencies) < 0:
        raise rope.refusal("inverse_frequencies", f"1 to {head_width // 2} numbers of at least 0")
    if fields.get("heads") % fields.get("kv_heads"):
        raise fields.refusal("kv_heads", "a divisor of heads")
    return DecoderShape(
        model_type="low_bits",
        vocabulary=fields.get("vocab"),
        width=fields.get("width"),
        mlp_width=fields.get("ffn"),
        layers=fields.get("layers"),
        heads=fields.get("heads"),
        kv_heads=fields.get("kv_heads"),
        head_width=head_width,
        norm_epsilon=float(fields.get("norm_eps")),
        rope=Rope(frequencies, float(rope.get("attention_factor"))),
        max_positions=fields.get("max_positions"),
        tied_head=fields.get("tied_head"),
        qkv_biases="layers.0.q_bias" in tensors,
        output_bias="layers.0.o_bias" in tensors,
        mlp_biases="layers.0.gate_bias" in tensors,
        qk_norms=fields.get("qk_norm"),
        bos=None,
        eos=(),
    )


def _check_tensors(
    shape: DecoderShape, tensors: Mapping[str, PackedTensor], shards: tuple[Shard, ...]
) -> None:
    """Returns where exactly the decoder's tensors are there, inside their shards and apart."""
    wanted = tensor_shapes(shape)
    for name in sorted(wanted.keys() ^ tensors.keys()):
        flaw = "missing" if name in wanted else "left out: it is no part of the architecture"
        raise BadRequest(
            f"the tensor {shorten(name)} of {FILE} must {'be there' if name in wanted else 'be '}{flaw}"
        )
    ends = [0] * len(shards)
    places = sorted(tensors.items(), key=lambda entry: (entry[1].shard, entry[1].offset))
    for name, tensor in places:
        if tensor.shape != wanted[name]:
            raise BadRequest(f"the tensor {name} of {FILE} is {list(tensor.shape)}, not {list(wanted[name])}")
        if tensor.shard >= len(shards) or tensor.offset + tensor.size_bytes > shards[tensor.shard].size_bytes:
            raise BadRequest(f"the tensor {name} of {FILE} does not lie in its shard")
        if tensor.offset < ends[tensor.shard]:
            raise BadRequest(f"the tensor {name} of {FILE} overlaps the one before it")
        ends[tensor.shard] = tensor.offset + tensor.size_bytes


def describe_architecture(shape: DecoderShape, values_rotated: bool) -> dict[str, Any]:
    """The architecture as low_bits.json has it."""
    return {
        "layers": shape.layers,
        "width": shape.width,
        "heads": shape.heads,
        "kv_heads": shape.kv_heads,
        "head_dim": shape.head_width,
        "ffn": shape.mlp_width,
        "vocab": shape.vocabulary,
        "norm_eps": shape.norm_epsilon,
        "max_positions": shape.max_positions,
        "rope": {
            "inverse_frequencies": list(shape.rope.inverse_frequencies),
            "attention_factor": shape.rope.attention_factor,
        },
        "tied_head": shape.tied_head,
        "qk_norm": shape.qk_norms,
        "activation": "silu",
        "values_rotated": values_rotated,
    }


@dataclass
class ModelWriter:
    """Writes tensors as they come into shards of a folder, and at last low_bits.json."""

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

    def finish(self, shape: DecoderShape, values_rotated: bool, about: Mapping[str, Any]) -> list[str]:
        """Writes low_bits.json; the names of all files."""
        self._close()
        plain = {
            "format": FORMAT,
            "version": VERSION,
            "architecture": describe_architecture(shape, values_rotated),
            "tensors": {name: _tensor_to_plain(tensor) for name, tensor in self.tensors.items()},
            "shards": [
                {"path": shard.path, "size_bytes": shard.size_bytes, "sha256": shard.sha256}
                for shard in self.shards
            ],
            "about": dict(about),
        }
        (self.folder / FILE).write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
        return [FILE, *(shard.path for shard in self.shards)]


def _tensor_to_plain(tensor: PackedTensor) -> dict[str, Any]:
    return {
        "shape": list(tensor.shape),
        "bits": tensor.bits,
        "shard": tensor.shard,
        "offset": tensor.offset,
        "size_bytes": tensor.size_bytes,
    }


def tensor_order(shape: DecoderShape) -> Iterable[str]:
    """The tensors in the order that a page reads them in: embedding, layer by layer, the rest."""
    yield "embedding"
    for index in range(shape.layers):
        yield from (f"layers.{index}.{name}" for name in layer_shapes(shape))
    yield from (name for name in ("norm", "head") if name in tensor_shapes(shape))
