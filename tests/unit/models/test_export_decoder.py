"""ONNX graphs of decoders against transformers' logits, and 4 bits against onnxruntime's own quantiser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.low_bits.reading.sources import open_source
from browser_runtime.models.intake.export_decoder import BLOCK, export_decoder, round_blocks
from tests.stand_ins.decoders import TOKENS, write_folder

LOGITS = np.load(Path(__file__).parents[2] / "data" / "decoder_logits.npz")


def run(path: Path, *pieces: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The graph's logits of TOKENS, read in these pieces."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    names = [output.name for output in session.get_outputs()]
    cache = {}
    for entry in session.get_inputs():
        if entry.name.startswith("past_key_values"):
            dtype = np.float16 if entry.type == "tensor(float16)" else np.float32
            cache[entry.name] = np.zeros((1, entry.shape[1], 0, entry.shape[3]), dtype)
    found, done = [], 0
    for piece in pieces:
        ids = np.array([TOKENS[done : done + piece]], np.int64)
        done += piece
        feeds = {"input_ids": ids, "attention_mask": np.ones((1, done), np.int64), **cache}
        outputs = dict(zip(names, session.run(None, feeds), strict=True))
        cache = {name: outputs[name.replace("past_key_values", "present")] for name in cache}
        found.append(outputs["logits"][0])
    return np.concatenate(found)


@pytest.mark.parametrize("kind", ["llama-biases", "qwen3"])
@pytest.mark.parametrize(
    ("precision", "largest_error"),
    # 11 bits of float16; 8 bits with a scale for all activations; 4 bits with one a block of weights.
    [(Precision.FP32, 1e-4), (Precision.FP16, 0.02), (Precision.INT8, 0.4), (Precision.Q4, 2.0)],
)
def test_logits_are_those_of_transformers(
    tmp_path: Path, kind: str, precision: Precision, largest_error: float
) -> None:
    source = open_source(write_folder(tmp_path / kind, kind))
    export_decoder(source.weights, tmp_path / "model.onnx", precision)
    whole, apart = run(tmp_path / "model.onnx", 40), run(tmp_path / "model.onnx", 20, 1, 1, 18)
    assert np.abs(whole - LOGITS[kind]).max() < largest_error
    # Activations of 8 bits share a scale within a piece.
    assert np.abs(whole - apart).max() < (1e-3 if precision is not Precision.INT8 else largest_error)


def test_four_bits_are_those_of_onnxruntime() -> None:
    from onnxruntime.capi._pybind_state import quantize_matmul_4bits

    matrix = np.random.default_rng(3).standard_normal((24, 96)).astype(np.float32)
    matrix[3, :BLOCK] = 0
    codes, scales = round_blocks(matrix)
    theirs, their_scales = np.zeros_like(codes), np.zeros_like(scales)
    zero_points = np.zeros(24 * 2, np.uint8)
    quantize_matmul_4bits(theirs, matrix.T.copy(), their_scales, zero_points, BLOCK, 24, 96, True)
    assert np.array_equal(scales, their_scales)
    assert np.array_equal(codes, theirs)


def test_what_the_operators_do_not_take_is_refused_by_name(tmp_path: Path) -> None:
    narrow = open_source(write_folder(tmp_path / "llama", "llama"))
    with pytest.raises(BadInput, match="head_dim is 8, but must be a multiple of 16"):
        export_decoder(narrow.weights, tmp_path / "model.onnx")
    wide = open_source(write_folder(tmp_path / "qwen3", "qwen3"))
    with pytest.raises(BadInput, match=r"'3bit'.*fp32, fp16, int8, q4"):
        export_decoder(wide.weights, tmp_path / "model.onnx", Precision.BITS_3)
