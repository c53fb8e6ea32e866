"""A packed encoder on disk: `low_bits_encoder.json` and its shards, written and read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadRequest
from browser_runtime.low_bits.arrays import FloatArray
from browser_runtime.low_bits.encoder_shape import (
    ACTIVATIONS,
    MAX_CHANNELS,
    MAX_CLASSES,
    MAX_PIXELS,
    MAX_POSITIONS,
    MAX_TOKEN_TYPES,
    EncoderShape,
    ImageInput,
    TextInput,
)
from browser_runtime.low_bits.packed_file import OBJECT, ModelWriter, PackedFile, hold
from browser_runtime.low_bits.packing import ByteMatrix, pack_floats
from browser_runtime.low_bits.shape import EPSILON, MAX_HEADS, MAX_LAYERS, MAX_VOCABULARY, MAX_WIDTH
from browser_runtime.models.configuration.fields import only, whole

FILE = "low_bits_encoder.json"
WEIGHT_BITS = 8
COMMON = {
    "layers": whole(MAX_LAYERS),
    "width": whole(MAX_WIDTH),
    "heads": whole(MAX_HEADS),
    "ffn": whole(4 * MAX_WIDTH),
    "norm_eps": EPSILON,
    "activation": only(*ACTIVATIONS),
}
TEXT = COMMON | {
    "vocab": whole(MAX_VOCABULARY),
    "max_positions": whole(MAX_POSITIONS),
    "token_types": whole(MAX_TOKEN_TYPES),
}
IMAGES = COMMON | {"image": OBJECT, "classes": whole(MAX_CLASSES)}
IMAGE = {
    "height": whole(MAX_PIXELS),
    "width": whole(MAX_PIXELS),
    "patch": whole(MAX_PIXELS),
    "channels": whole(MAX_CHANNELS),
}
# Tables whose rows are added to others, and stay as they are.
TABLES = ("positions", "token_types")

TEXT_NAMES = {
    "words": "embeddings.word_embeddings.weight",
    "positions": "embeddings.position_embeddings.weight",
    "token_types": "embeddings.token_type_embeddings.weight",
    "norm": "embeddings.LayerNorm.weight",
    "norm_bias": "embeddings.LayerNorm.bias",
}
"""A BERT's own name of each tensor outside the layers."""
TEXT_PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "o": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "ffn_norm": "output.LayerNorm",
}
"""A BERT's own name of each part of a layer, which has a weight and a bias."""
IMAGE_NAMES = {
    "patches": "embeddings.patch_embeddings.projection.weight",
    "patches_bias": "embeddings.patch_embeddings.projection.bias",
    "class_token": "embeddings.cls_token",
    "positions": "embeddings.position_embeddings",
    "norm": "layernorm.weight",
    "norm_bias": "layernorm.bias",
    "head": "classifier.weight",
    "head_bias": "classifier.bias",
}
"""A ViT's, likewise."""
IMAGE_PARTS = {
    "q": "attention.attention.query",
    "k": "attention.attention.key",
    "v": "attention.attention.value",
    "o": "attention.output.dense",
    "attention_norm": "layernorm_before",
    "up": "intermediate.dense",
    "down": "output.dense",
    "ffn_norm": "layernorm_after",
}


def tensor_shapes(shape: EncoderShape) -> dict[str, tuple[int, ...]]:
    """Each tensor of an encoder, under our names, in the order that a page reads them in."""
    width, ffn = shape.width, shape.mlp_width
    sizes: dict[str, tuple[int, ...]] = dict.fromkeys(("q", "k", "v", "o"), (width, width))
    sizes |= {"up": (ffn, width), "down": (width, ffn)}
    layer: dict[str, tuple[int, ...]] = {}
    for part in TEXT_PARTS:
        layer[part] = sizes.get(part, (width,))
        layer[f"{part}_bias"] = layer[part][:1]
    layers = {f"layers.{i}.{name}": size for i in range(shape.layers) for name, size in layer.items()}
    return _input_shapes(shape.input, width) | {"norm": (width,), "norm_bias": (width,)} | layers


def _input_shapes(given: TextInput | ImageInput, width: int) -> dict[str, tuple[int, ...]]:
    if isinstance(given, TextInput):
        return {
            "words": (given.vocabulary, width),
            "positions": (given.max_positions, width),
            "token_types": (given.token_types, width),
        }
    return {
        "patches": (width, given.columns),
        "patches_bias": (width,),
        "class_token": (width,),
        "positions": (given.rows, width),
        "head": (given.classes, width),
        "head_bias": (given.classes,),
    }


def stored_name(name: str, shape: EncoderShape) -> str:
    """transformers' name of our tensor."""
    is_text = isinstance(shape.input, TextInput)
    if not name.startswith("layers."):
        return (TEXT_NAMES if is_text else IMAGE_NAMES)[name]
    _, index, part = name.split(".")
    end = "bias" if part.endswith("_bias") else "weight"
    parts = TEXT_PARTS if is_text else IMAGE_PARTS
    return f"encoder.layer.{index}.{parts[part.removesuffix('_bias')]}.{end}"


def write_encoder(
    folder: Path, shape: EncoderShape, weights: Mapping[str, FloatArray], about: Mapping[str, Any]
) -> list[str]:
    """Writes the packed encoder; the names of its files, the index first.

    Matrices take 8 bits, a scale for each group of 32; tables of what is added to rows, and vectors, which
    are small, stay in 32 bits. `weights`: tensors by transformers' names, no `bert.` or `vit.` before them.

    Raises BadRequest for a tensor that is missing, of another shape, or not finite.
    """
    folder.mkdir(parents=True)
    writer = ModelWriter(folder)
    for name, sizes in tensor_shapes(shape).items():
        tensor = _take(weights, stored_name(name, shape), _stored_sizes(name, sizes, shape))
        if name == "patches":
            flat = tensor.reshape(len(tensor), -1)
            tensor = np.pad(flat, ((0, 0), (0, sizes[1] - flat.shape[1])))
        tensor = tensor.reshape(sizes)
        if len(sizes) == 2 and name not in TABLES:
            writer.add(name, sizes, WEIGHT_BITS, ByteMatrix.round(tensor).pack())
        else:
            writer.add(name, sizes, 32, pack_floats(tensor, 32))
    return writer.finish(FILE, shape.to_plain(), about)


def _stored_sizes(name: str, sizes: tuple[int, ...], shape: EncoderShape) -> tuple[int, ...]:
    """The sizes that transformers keeps our tensor in."""
    if isinstance(shape.input, TextInput):
        return sizes
    if name == "patches":
        return (shape.width, shape.input.channels, shape.input.patch, shape.input.patch)
    return {"class_token": (1, 1, *sizes), "positions": (1, *sizes)}.get(name, sizes)


def _take(weights: Mapping[str, FloatArray], name: str, sizes: tuple[int, ...]) -> FloatArray:
    if name not in weights:
        raise BadRequest(f"the weights have no tensor {name!r}; this is no complete encoder of its type")
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
        shape = _read_shape(file.architecture)
        file.require_tensors(tensor_shapes(shape))
        for name, tensor in file.tensors.items():
            is_product = name.startswith("layers.") or name == "patches"
            if is_product and len(tensor.shape) == 2 and tensor.bits != WEIGHT_BITS:
                raise BadRequest(f"the tensor {name} of {FILE} has {tensor.bits} bits, not {WEIGHT_BITS}")
        return cls(file, shape)


def _read_shape(architecture: Any) -> EncoderShape:
    where = f"architecture of {FILE}"
    has_images = isinstance(architecture, dict) and "image" in architecture
    fields = hold(architecture, IMAGES if has_images else TEXT, where)
    given: TextInput | ImageInput
    if has_images:
        image = hold(fields.get("image"), IMAGE, f"image of the {where}")
        sizes = {key: image.get(key) for key in IMAGE}
        given = ImageInput(**sizes, classes=fields.get("classes"))
    else:
        given = TextInput(*(fields.get(key) for key in ("vocab", "max_positions", "token_types")))
    return EncoderShape(
        layers=fields.get("layers"),
        width=fields.get("width"),
        heads=fields.get("heads"),
        mlp_width=fields.get("ffn"),
        norm_epsilon=float(fields.get("norm_eps")),
        activation=fields.get("activation"),
        input=given,
    ).checked(where)
