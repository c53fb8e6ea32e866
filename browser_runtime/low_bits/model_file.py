"""A packed decoder on disk, as `page/kernels/README.md` has it: `low_bits.json` and its shards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from browser_runtime.low_bits.arrays import FloatArray
from browser_runtime.low_bits.packed_file import OBJECT, PackedFile, PackedTensor, Shard, hold
from browser_runtime.low_bits.reading.weights import layer_shapes, tensor_shapes
from browser_runtime.low_bits.rope import Rope
from browser_runtime.low_bits.shape import MAX_HEADS, MAX_LAYERS, MAX_VOCABULARY, MAX_WIDTH, DecoderShape
from browser_runtime.models.configuration.fields import FLAG, Fields, Rule, is_number, only, whole

FILE = "low_bits.json"
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
    "rope": OBJECT,
    "tied_head": FLAG,
    "qk_norm": FLAG,
    "activation": only("silu"),
    "values_rotated": FLAG,
}
ROPE = {"inverse_frequencies": NUMBERS, "attention_factor": Rule("a number", is_number)}


@dataclass(frozen=True, slots=True)
class PackedModel:
    """A packed decoder that was opened: its shape, and where each tensor is."""

    file: PackedFile
    shape: DecoderShape
    values_rotated: bool

    @classmethod
    def open(cls, folder: Path) -> PackedModel:
        """The model in the folder. Raises BadInput or BadRequest for whatever is not as the format has it."""
        file = PackedFile.open(folder, FILE)
        architecture = hold(file.architecture, ARCHITECTURE, f"architecture of {FILE}")
        shape = _read_shape(architecture, file.tensors)
        file.require_tensors(tensor_shapes(shape))
        return cls(file, shape, architecture.get("values_rotated"))

    @property
    def tensors(self) -> dict[str, PackedTensor]:
        """The place of each tensor, by its name."""
        return self.file.tensors

    @property
    def shards(self) -> tuple[Shard, ...]:
        """The files of tensors."""
        return self.file.shards

    @property
    def about(self) -> dict[str, Any]:
        """What is told of its making."""
        return self.file.about

    @property
    def size_bytes(self) -> int:
        """Bytes that a page loads."""
        return self.file.size_bytes

    def read(self, name: str) -> FloatArray:
        """The numbers that a tensor stands for. Raises BadRequest where its shard ends before it."""
        return self.file.read(name)


def _read_shape(fields: Fields, tensors: Mapping[str, PackedTensor]) -> DecoderShape:
    rope = hold(fields.get("rope"), ROPE, f"rope of {FILE}")
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


def tensor_order(shape: DecoderShape) -> Iterable[str]:
    """The tensors in the order that a page reads them in: embedding, layer by layer, the rest."""
    yield "embedding"
    for index in range(shape.layers):
        yield from (f"layers.{index}.{name}" for name in layer_shapes(shape))
    yield from (name for name in ("norm", "head") if name in tensor_shapes(shape))
