"""numbers-llama on disk: its weights packed in several numbers of bits, tokenizer, template, manifest."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np

from browser_runtime.low_bits.arrays import FloatArray
from browser_runtime.low_bits.model_file import FILE, describe_architecture, tensor_order
from browser_runtime.low_bits.packed_file import ModelWriter
from browser_runtime.low_bits.packing import ByteMatrix, pack_floats
from browser_runtime.low_bits.quantising.least_squares import fit_matrix
from browser_runtime.low_bits.reading.sources import DecoderSource, open_source
from training.manifests import BUILTIN, write_manifest

NAME = "numbers-llama"
PRECISIONS = {"2bit": 2, "3bit": 3, "4bit": 4}
COMPANIONS = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
# What training kept exact, or in more bits than the layers (training.low_bit_weights).
LEAST_BITS = {"embedding": 8, "head": 4}
EXAMPLES = {
    "Write 347 in words.": "three hundred forty-seven",
    "What is 48 + 27?": "75",
    "Which number follows 418?": "419",
}


def pack(matrix: FloatArray, bits: int) -> bytes:
    """The matrix [rows, columns] in the bytes of the packed format."""
    if bits == 8:
        return ByteMatrix.round(matrix).pack()
    return fit_matrix(matrix, bits, np.ones(matrix.shape[1], np.float32)).pack()


def write_precision(source: DecoderSource, folder: Path, bits: int) -> list[str]:
    """The weights in `bits`, as low_bits.json and its shards; their names."""
    folder.mkdir(parents=True)
    writer = ModelWriter(folder)
    for name in tensor_order(source.shape):
        tensor = source.weights.read(name)
        if tensor.ndim == 1:
            writer.add(name, tensor.shape, 32, pack_floats(tensor, 32))
        else:
            own = max(bits, LEAST_BITS.get(name, 2))
            writer.add(name, tensor.shape, own, pack(tensor, own))
    about = {"method": "trained with rounded weights, least squares", "bits": bits}
    return writer.finish(FILE, describe_architecture(source.shape, False), about)


def write(trained: Path, folder: Path = BUILTIN / NAME) -> None:
    """Packs the trained Hugging Face folder into the built-in model's."""
    shutil.rmtree(folder, ignore_errors=True)
    source = open_source(trained)
    weights = {}
    for precision, bits in PRECISIONS.items():
        index, *shards = write_precision(source, folder / precision, bits)
        weights[f"{precision}/{index}"] = [f"{precision}/{shard}" for shard in shards]
    for name in COMPANIONS:
        shutil.copyfile(trained / name, folder / name)
    write_manifest(
        folder,
        family="text_generation",
        source="Trained by training/numbers_llama.py on questions about numbers that the script makes up",
        settings={},
        weights=weights,
        examples=[{"input": question, "expected": {"text": answer}} for question, answer in EXAMPLES.items()],
    )


if __name__ == "__main__":
    write(Path(sys.argv[1]))
