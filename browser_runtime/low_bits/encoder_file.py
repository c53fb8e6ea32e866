"""A packed encoder on disk: `low_bits_encoder.json` and its shards, written and read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadRequest
from browser_runtime.low_bits.arrays import FloatArray
from browser_runtime.low_bits.encoder_shape import ACTIVATIONS, MAX_POSITIONS, MAX_TOKEN_TYPES, EncoderShape
from browser_runtime.low_bits.packed_file import ModelWriter, PackedFile, hold
from browser_runtime.low_bits.packing import ByteMatrix, pack_floats
from browser_runtime.low_bits.shape import EPSILON, MAX_HEADS, MAX_LAYERS, MAX_VOCABULARY, MAX_WIDTH
from browser_runtime.models.configuration.fields import only, whole

FILE = "low_bits_encoder.json"
WEIGHT_BITS = 8
ARCHITECTURE = {
    "layers": whole(MAX_LAYERS),
    "width": whole(MAX_WIDTH),
    "heads": whole(MAX_HEADS),
    "ffn": whole(4 * MAX_WIDTH),
    "vocab": whole(MAX_VOCABULARY),
    "max_positions": whole(MAX_POSITIONS),
    "token_types": whole(MAX_TOKEN_TYPES),
    "norm_eps": EPSILON,
    "activation": only(*ACTIVATIONS),
}

HUGGING_FACE = {
    "words": "embeddings.word_embeddings.weight",
    "positions": "embeddings.position_embeddings.weight",
    "token_types": "embeddings.token_type_embeddings.weight",
    "norm": "embeddings.LayerNorm.weight",
    "norm_bias": "embeddings.LayerNorm.bias",
}
"""transformers' name of each tensor in front of the layers."""
PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "o": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "ffn_norm": "output.LayerNorm",
}
"""transformers' name of each part of a layer, which has a weight and a bias."""


def tensor_shapes(shape: EncoderShape) -> dict[str, tuple[int, ...]]:
    """Each tensor of an encoder, under our names, in the order that a page reads them in."""
    width, ffn = shape.width, shape.mlp_width
    top: dict[str, tuple[int, ...]] = {
        "words": (shape.vocabulary, width),
        "positions": (shape.max_positions, width),
        "token_types": (shape.token_types, width),
        "norm": (width,),
        "norm_bias": (width,),
    }
    sizes: dict[str, tuple[int, ...]] = dict.fromkeys(("q", "k", "v", "o"), (width, width))
    sizes |= {"up": (ffn, width), "down": (width, ffn)}
    layer: dict[str, tuple[int, ...]] = {}
    for part in PARTS:
        layer[part] = sizes.get(part, (width,))
        layer[f"{part}_bias"] = layer[part][:1]
    return top | {f"layers.{i}.{name}": size for i in range(shape.layers) for name, size in layer.items()}


def stored_name(name: str) -> str:
    """transformers' name of our tensor."""
    if not name.startswith("layers."):
        return HUGGING_FACE[name]
    _, index, part = name.split(".")
    end = "bias" if part.endswith("_bias") else "weight"
    return f"encoder.layer.{index}.{PARTS[part.removesuffix('_bias')]}.{end}"


def write_encoder(
    folder: Path, shape: EncoderShape, weights: Mapping[str, FloatArray], about: Mapping[str, Any]
) -> list[str]:
    """Writes the packed encoder; the names of its files, the index first.

    Matrices of layers and the words' rows take 8 bits, a scale for each group of 32; the rest, which is
    small and added to everything, stays in 32 bits. `weights`: tensors by transformers' names, no `bert.`
    before them.

    Raises BadRequest for a tensor that is missing, of another shape, or not finite.
    """
    folder.mkdir(parents=True)
    writer = ModelWriter(folder)
    for name, sizes in tensor_shapes(shape).items():
        tensor = _take(weights, stored_name(name), sizes)
        if len(sizes) == 2 and name not in ("positions", "token_types"):
            writer.add(name, sizes, WEIGHT_BITS, ByteMatrix.round(tensor).pack())
        else:
            writer.add(name, sizes, 32, pack_floats(tensor, 32))
    return writer.finish(FILE, shape.to_plain(), about)


def _take(weights: Mapping[str, FloatArray], name: str, sizes: tuple[int, ...]) -> FloatArray:
    if name not in weights:
        raise BadRequest(f"the weights have no tensor {name!r}; this is no complete BERT encoder")
    tensor = weights[name]
    if tensor.shape != sizes:
        raise BadRequest(f"the tensor {name!r} is {list(tensor.shape)}, not {list(sizes)}")
    if not np.isfinite(tensor).all():
        raise BadRequest(f"the tensor {name!r} holds a number that is not finite")
    return tensor


@dataclass(frozen=True, slots=True)
class PackedEncoder:
    """A packed encoder that was opened."""

    file: PackedFile
    shape: EncoderShape

    @classmethod
    def open(cls, folder: Path) -> PackedEncoder:
        """The encoder in the folder. Raises BadInput or BadRequest for what the format has not."""
        file = PackedFile.open(folder, FILE)
        where = f"architecture of {FILE}"
        fields = hold(file.architecture, ARCHITECTURE, where)
        shape = EncoderShape(
            layers=fields.get("layers"),
            width=fields.get("width"),
            heads=fields.get("heads"),
            mlp_width=fields.get("ffn"),
            vocabulary=fields.get("vocab"),
            max_positions=fields.get("max_positions"),
            token_types=fields.get("token_types"),
            norm_epsilon=float(fields.get("norm_eps")),
            activation=fields.get("activation"),
        ).checked(where)
        file.require_tensors(tensor_shapes(shape))
        for name, tensor in file.tensors.items():
            if name.startswith("layers.") and len(tensor.shape) == 2 and tensor.bits != WEIGHT_BITS:
                raise BadRequest(f"the tensor {name} of {FILE} has {tensor.bits} bits, not {WEIGHT_BITS}")
        return cls(file, shape)
