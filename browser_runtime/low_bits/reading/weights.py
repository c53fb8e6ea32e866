"""A decoder's tensors under our names, from safetensors or GGUF: all there, all of their shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from browser_runtime.contract.errors import BadRequest
from browser_runtime.low_bits.arrays import FloatArray
from browser_runtime.low_bits.reading.gguf import GgufFile
from browser_runtime.low_bits.reading.gguf_config import FREQUENCY_FACTORS
from browser_runtime.low_bits.reading.tensors import TensorFile
from browser_runtime.low_bits.rope import Rope, check_frequencies
from browser_runtime.low_bits.shape import DecoderShape
from browser_runtime.models.files.paths import shorten

LINEARS = ("q", "k", "v", "o", "gate", "up", "down")
"""The matrices of a layer, in the order of their use."""

HUGGING_FACE = {
    "embedding": "model.embed_tokens.weight",
    "norm": "model.norm.weight",
    "head": "lm_head.weight",
    "attention_norm": "model.layers.{}.input_layernorm.weight",
    "ffn_norm": "model.layers.{}.post_attention_layernorm.weight",
    "q_norm": "model.layers.{}.self_attn.q_norm.weight",
    "k_norm": "model.layers.{}.self_attn.k_norm.weight",
    **{name: f"model.layers.{{}}.self_attn.{name}_proj.weight" for name in ("q", "k", "v", "o")},
    **{f"{name}_bias": f"model.layers.{{}}.self_attn.{name}_proj.bias" for name in ("q", "k", "v", "o")},
    **{name: f"model.layers.{{}}.mlp.{name}_proj.weight" for name in ("gate", "up", "down")},
    **{f"{name}_bias": f"model.layers.{{}}.mlp.{name}_proj.bias" for name in ("gate", "up", "down")},
}
"""transformers' name of each tensor, {} for the layer."""

GGML_LINEARS = {
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_output",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}
GGML = {
    "embedding": "token_embd.weight",
    "norm": "output_norm.weight",
    "head": "output.weight",
    "attention_norm": "blk.{}.attn_norm.weight",
    "ffn_norm": "blk.{}.ffn_norm.weight",
    "q_norm": "blk.{}.attn_q_norm.weight",
    "k_norm": "blk.{}.attn_k_norm.weight",
    **{name: f"blk.{{}}.{ggml}.weight" for name, ggml in GGML_LINEARS.items()},
    **{f"{name}_bias": f"blk.{{}}.{ggml}.bias" for name, ggml in GGML_LINEARS.items()},
}
# Buffers that old versions of transformers saved; they follow from config.json.
IGNORED_ENDS = (".rotary_emb.inv_freq", ".attn.bias", ".masked_bias")


class DecoderWeights(Protocol):
    """A decoder's tensors by our names: "embedding", "norm", "head", and "layers.0.q" and the like."""

    @property
    def values_rotated(self) -> bool:
        """True if the values' Hadamard is in them already."""

    @property
    def shape(self) -> DecoderShape:
        """The sizes of the decoder."""

    def read(self, name: str) -> FloatArray:
        """The tensor, 32-bit floats [out, in] or [n]. Raises BadRequest."""


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """The tensors of a file, renamed, and rows put where transformers has them."""

    shape: DecoderShape
    file: TensorFile
    names: dict[str, str]
    """The file's name for each of ours."""
    values_rotated: bool = False
    is_interleaved: bool = False
    """Rows of queries and keys lie as llama.cpp's LLaMA has them: pairs side by side."""

    def read(self, name: str) -> FloatArray:
        """The tensor. Raises BadRequest where it cannot be read."""
        numbers = self.file.read(self.names[name])
        part = name.rpartition(".")[2]
        if self.is_interleaved and part in ("q", "k", "q_bias", "k_bias"):
            return separate_pairs(numbers, self.shape.head_width)
        return numbers


def separate_pairs(rows: FloatArray, head_width: int) -> FloatArray:
    """Rows (0, 1), (2, 3), ... of each head as two halves: the first of each pair, then the second."""
    paired = rows.reshape(-1, head_width // 2, 2, *rows.shape[1:])
    return paired.swapaxes(1, 2).reshape(rows.shape)


def tensor_shapes(shape: DecoderShape) -> dict[str, tuple[int, ...]]:
    """Each tensor that a decoder of that shape has, under our names."""
    top: dict[str, tuple[int, ...]] = {
        "embedding": (shape.vocabulary, shape.width),
        "norm": (shape.width,),
    }
    if not shape.tied_head:
        top["head"] = (shape.vocabulary, shape.width)
    layer = layer_shapes(shape)
    return top | {f"layers.{i}.{name}": sizes for i in range(shape.layers) for name, sizes in layer.items()}


def layer_shapes(shape: DecoderShape) -> dict[str, tuple[int, ...]]:
    """The tensors of one layer."""
    heads, keys = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    matrices = {
        "q": (heads, shape.width),
        "k": (keys, shape.width),
        "v": (keys, shape.width),
        "o": (shape.width, heads),
        "gate": (shape.mlp_width, shape.width),
        "up": (shape.mlp_width, shape.width),
        "down": (shape.width, shape.mlp_width),
    }
    found: dict[str, tuple[int, ...]] = {
        "attention_norm": (shape.width,),
        "ffn_norm": (shape.width,),
        **matrices,
    }
    has_bias = {
        **dict.fromkeys(("q", "k", "v"), shape.qkv_biases),
        "o": shape.output_bias,
        **dict.fromkeys(("gate", "up", "down"), shape.mlp_biases),
    }
    found |= {f"{name}_bias": matrices[name][:1] for name in LINEARS if has_bias[name]}
    if shape.qk_norms:
        found |= dict.fromkeys(("q_norm", "k_norm"), (shape.head_width,))
    return found


def match_tensors(shape: DecoderShape, file: TensorFile, table: dict[str, str], where: str) -> dict[str, str]:
    """The file's name for each tensor of the decoder.

    Raises BadRequest for one that is missing, of another shape, or no part of it: without it another model
    would be computed.
    """
    names: dict[str, str] = {}
    for name, sizes in tensor_shapes(shape).items():
        own = _name_in(table, name)
        found = file.shapes.get(own)
        if found != sizes:
            flaw = "is missing" if found is None else f"is {list(found)}"
            raise BadRequest(f"tensor {own} of {where} {flaw}; its configuration asks for {list(sizes)}")
        names[name] = own
    spare = set(file.shapes) - set(names.values()) - {FREQUENCY_FACTORS}
    if shape.tied_head:  # saved twice, and not used by transformers
        spare.discard(_name_in(table, "head"))
    for other in sorted(spare):
        if not other.endswith(IGNORED_ENDS):
            raise BadRequest(
                f"{where} holds a tensor {shorten(other)}, which is no part of {shape.model_type}"
            )
    return names


def _name_in(table: dict[str, str], name: str) -> str:
    """The file's name of "norm", or of "layers.7.q"."""
    if "." not in name:
        return table[name]
    _, layer, part = name.split(".")
    return table[part].format(layer)


def stored_weights(shape: DecoderShape, file: TensorFile, where: str) -> StoredWeights:
    """The tensors of a safetensors folder. Raises BadRequest."""
    return StoredWeights(shape, file, match_tensors(shape, file, HUGGING_FACE, where))


def gguf_weights(shape: DecoderShape, file: GgufFile) -> StoredWeights:
    """The tensors of a GGUF file; Llama 3's frequency factors are taken into the shape. Raises BadRequest."""
    if FREQUENCY_FACTORS in file.shapes:
        shape = replace(shape, rope=_divide(shape.rope, file.read(FREQUENCY_FACTORS), shape.head_width))
    names = match_tensors(shape, file, GGML, file.path)
    # llama.cpp's converter reorders LLaMA's rows for its own rotation, and no other model's.
    return StoredWeights(shape, file, names, is_interleaved=file.fields["general.architecture"] == "llama")


def _divide(rope: Rope, factors: FloatArray, head_width: int) -> Rope:
    pairs = head_width // 2
    if factors.shape != (pairs,) or not (factors > 0).all():
        raise BadRequest(f"{FREQUENCY_FACTORS} is not {pairs} numbers above 0")
    slowed = (
        number / float(factor) for number, factor in zip(rope.inverse_frequencies, factors, strict=True)
    )
    return check_frequencies(replace(rope, inverse_frequencies=tuple(slowed)), head_width, FREQUENCY_FACTORS)


Transform = Callable[[str, FloatArray], FloatArray]


@dataclass(frozen=True, slots=True)
class HeldWeights:
    """All tensors in memory, as a computation wants them."""

    shape: DecoderShape
    tensors: dict[str, FloatArray]
    values_rotated: bool = False

    @classmethod
    def of(cls, weights: DecoderWeights) -> HeldWeights:
        """Reads them all."""
        tensors = {name: weights.read(name) for name in tensor_shapes(weights.shape)}
        return cls(weights.shape, tensors, weights.values_rotated)

    def read(self, name: str) -> FloatArray:
        """The tensor."""
        return self.tensors[name]

    def layer(self, index: int) -> dict[str, FloatArray]:
        """One layer's tensors by their names in it."""
        start = f"layers.{index}."
        return {name: self.tensors[f"{start}{name}"] for name in layer_shapes(self.shape)}


def linear_names(shape: DecoderShape) -> Iterator[str]:
    """The matrices of all layers, in the order of their use."""
    for index in range(shape.layers):
        yield from (f"layers.{index}.{name}" for name in LINEARS)
