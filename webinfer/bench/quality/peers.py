"""Formats of llama.cpp on the same weights: quantised by libgguf, computed in NumPy.

Formats with blocks of 256 take rows whose length is a multiple of 256. Rows that are not are joined until
they are: the format's bits and its quality stay the same, though no GGUF file could hold such a matrix.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from browser_runtime.contract.errors import SetupError
from browser_runtime.low_bits.arrays import FloatArray
from browser_runtime.low_bits.quantising.calibration import Calibration
from browser_runtime.low_bits.quantising.divergence import Divergence
from browser_runtime.low_bits.quantising.matrices import InputStatistics
from browser_runtime.low_bits.quantising.quantiser import read_layer
from browser_runtime.low_bits.quantising.streams import ResidualStream, Statistics
from browser_runtime.low_bits.reading.weights import LINEARS, DecoderWeights
from webinfer.bench.quality.original import Original, Tell

FORMATS = ("Q2_K", "Q3_K", "Q4_K", "Q4_0", "Q5_K", "Q8_0")


@dataclass(frozen=True, slots=True)
class Peer:
    """A format on all matrices of the layers, embedding and head as they were."""

    format: str
    bits: float
    divergence: Divergence


def open_libgguf() -> tuple[Any, Any]:
    """The library and its dequantiser. Raises SetupError."""
    try:
        return importlib.import_module("libgguf"), importlib.import_module("libgguf.libgguf_numpy")
    except ImportError as error:
        raise SetupError("libgguf", "llama.cpp's formats need it: pip install libgguf==0.2.2") from error


def round_as(weights: FloatArray, name: str, statistics: InputStatistics) -> tuple[FloatArray, int]:
    """(the numbers of the matrix [N, K] in that format, its bytes); inputs count as they do for ours."""
    libgguf, numpy_side = open_libgguf()
    kind = libgguf.GGMLQuantizationType[name]
    block, _ = libgguf.GGML_QUANT_SIZES[kind]
    n, k = weights.shape
    joined = math.lcm(k, block) // k
    if n % joined:
        raise SetupError(f"a matrix of {n} rows of {k}", f"{name} wants {joined} rows together")
    rows = np.ascontiguousarray(weights.reshape(n // joined, joined * k))
    importance = np.tile(np.maximum(statistics.importance, 1e-12), joined).astype(np.float32)
    packed = np.asarray(libgguf.quantize_rows(rows, kind, imatrix=importance))
    packed = packed.reshape(len(rows), -1).view(np.uint8)
    numbers = np.asarray(numpy_side.dequantize(packed, kind), np.float32)
    return numbers.reshape(n, k), packed.nbytes


def measure_peers(
    weights: DecoderWeights,
    original: Original,
    calibration: Calibration,
    tell: Tell,
    formats: Sequence[str] = FORMATS,
) -> list[Peer]:
    """The formats, in one pass over the layers."""
    shape, embedding = original.shape, weights.read("embedding")
    fitted = ResidualStream.start(shape, calibration.fit, embedding)
    streams = {name: ResidualStream.start(shape, original.windows, embedding) for name in formats}
    sizes, n_weights = dict.fromkeys(formats, 0), 0
    for index in range(shape.layers):
        tell("formats of llama.cpp", index, shape.layers)
        layer, statistics = read_layer(weights, index), Statistics()
        fitted.advance(index, layer, watch=statistics)
        n_weights += sum(layer[name].size for name in LINEARS)
        for name, stream in streams.items():
            changed = {each: round_as(layer[each], name, statistics.of(each)) for each in LINEARS}
            sizes[name] += sum(size for _, size in changed.values())
            stream.advance(index, layer | {each: numbers for each, (numbers, _) in changed.items()})
    norm = weights.read("norm")
    return [
        Peer(name, 8 * sizes[name] / n_weights, original.compare(stream.states, norm))
        for name, stream in streams.items()
    ]
