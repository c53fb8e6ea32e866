"""Takes an encoder, of texts or of images, into the store in 32 bits and in 8, from safetensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.families import PACKED_ENCODER, TEXT_EMBEDDING, VISION
from browser_runtime.contract.family_spec import FamilySpec
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.low_bits.encoder_file import write_encoder
from browser_runtime.low_bits.encoder_shape import EncoderShape
from browser_runtime.low_bits.reading.sources import CONFIG
from browser_runtime.low_bits.shape import CLASSES
from browser_runtime.models.configuration.fields import Fields
from browser_runtime.models.files.integrity import hash_file
from browser_runtime.models.files.json_files import MAX_JSON_BYTES, Json, parse_object
from browser_runtime.models.intake.encoder_graph import read_weights
from browser_runtime.models.intake.encoder_names import ENCODER_TYPES, VIT, read_config, read_tensors
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.manifest import StoredModel
from browser_runtime.models.store import ModelStore
from browser_runtime.simulation.runners import reference

# Short and long, plain and odd: what both precisions answer is compared on them.
SENTENCES = (
    "How do I reset my password?",
    "The quick brown fox jumps over the lazy dog while nobody looks.",
    "A man is playing a guitar on the street, and a small crowd has gathered around him to listen.",
    "Invoices are due thirty days after they were sent; whoever pays within ten deducts two per cent.",
    "The cell's membrane lets water pass in both directions, but holds back most of what is dissolved in it.",
    "ERROR 0x80070057: the parameter is incorrect (module loader.c, line 1432)",
)


def draw_images() -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """Images for the same: waves of six directions, of another length in each colour, uint8 [96, 128, 3]."""
    rows, columns, colours = np.mgrid[:96, :128, 2:5]
    waves = [np.sin((rows * step + columns * (7 - step)) * colours / 60) for step in range(1, 7)]
    return [np.rint(127.5 + 127.5 * wave).astype(np.uint8) for wave in waves]


@dataclass(frozen=True, slots=True)
class Samples:
    """What both precisions are compared on."""

    words: str
    make: Callable[[], list[Any]]


SAMPLES = {
    TEXT_EMBEDDING.name: Samples("six sentences", lambda: list(SENTENCES)),
    VISION.name: Samples("six images", draw_images),
}
"""By family."""


@dataclass(frozen=True, slots=True)
class QuantisedEncoder:
    """A stored encoder, and how near its 8 bits are to its 32."""

    model: StoredModel
    size_bytes: int
    """Bytes that a page loads in 8 bits."""
    least_cosine: float
    """Between the embeddings, or the logits, of both precisions, over the samples."""
    samples: str
    """Those, in words."""


def is_encoder(path: Path) -> bool:
    """True for a folder whose config.json names an encoder that the low-bit engine runs."""
    return (path / CONFIG).is_file() and _read_config(path).get("model_type") in ENCODER_TYPES


def require_known_type(path: Path) -> None:
    """Returns for a folder of a language model or an encoder, and for what is no folder. Raises BadInput."""
    config = _read_config(path) if (path / CONFIG).is_file() else {}
    if config and config.get("model_type") not in (*CLASSES, *ENCODER_TYPES):
        allowed = f"one of {', '.join(CLASSES)}, or of the encoders {', '.join(ENCODER_TYPES)}"
        raise Fields(CONFIG, config).refusal("model_type", allowed)


def quantise_encoder(path: Path, name: str, store: ModelStore) -> QuantisedEncoder:
    """Stores the encoder of a folder in both precisions under `name`.

    Raises BadInput naming what of it is not done, BadRequest for weights that are not whole.
    """
    config = _read_config(path)
    shape = EncoderShape.of(read_config(config))
    family = VISION if config["model_type"] == VIT else TEXT_EMBEDDING

    def pack(files: list[Path], folder: Path) -> list[str]:
        (index,) = PACKED_ENCODER.paths(Precision.BITS_8)
        home = (folder / index).parent
        about = {"source": {"name": path.name, "files": {file.name: hash_file(file) for file in files}}}
        written = write_encoder(home, shape, read_tensors(config, read_weights(files)), about)
        return [(home / file).relative_to(folder).as_posix() for file in written]

    model = import_model(path, name, family, store, pack=pack)
    samples = SAMPLES[family.name]
    exact, packed = (
        _run(model, family, samples.make(), precision) for precision in (Precision.FP32, Precision.BITS_8)
    )
    lengths = np.linalg.norm(exact, axis=1) * np.linalg.norm(packed, axis=1)
    least = float(((exact * packed).sum(1) / lengths).min())
    return QuantisedEncoder(model, model.loaded_bytes(Precision.BITS_8), least, samples.words)


def _read_config(path: Path) -> Json:
    with (path / CONFIG).open("rb") as stream:
        return parse_object(stream.read(MAX_JSON_BYTES + 1), CONFIG)


def _run(
    model: StoredModel, family: FamilySpec, items: list[Any], precision: Precision
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    outputs = reference(model, family.model_types[0], items, precision=precision)
    return np.stack([output[family.answer.numbers] for output in outputs]).astype(np.float64)


def refuse_choices(bits: str | None, **others: object) -> None:
    """Raises BadInput for options of language models; an encoder has 8 bits alone."""
    if bits != "8":
        given = "not given" if bits is None else bits
        raise BadInput("--bits", given, "8, which is what encoders come in")
    for option, value in others.items():
        if value is not None:
            raise BadInput(f"--{option.replace('_', '-')}", str(value), "left out for an encoder")
