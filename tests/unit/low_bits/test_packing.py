"""Packed matrices, caches and model files: byte for byte what page/kernels/README.md says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.contract.errors import BadInput, BadRequest, InferenceError
from browser_runtime.low_bits.cache import CacheFormat, PackedCache, pack_groups
from browser_runtime.low_bits.forward import Decoder, ExactCache, ExactTensors
from browser_runtime.low_bits.model_file import FILE, PackedModel, describe_architecture, tensor_order
from browser_runtime.low_bits.packed_file import ModelWriter
from browser_runtime.low_bits.packed_tensors import PackedTensors, round_activations
from browser_runtime.low_bits.packing import (
    ByteMatrix,
    CodedMatrix,
    align,
    pack_floats,
    section_bytes,
    tensor_bytes,
    unpack,
)
from browser_runtime.low_bits.reading.sources import open_source
from browser_runtime.low_bits.reading.weights import HeldWeights, StoredWeights
from tests.stand_ins.decoders import TOKENS, write_folder


def coded(bits: int, n: int, k: int, seed: int = 0) -> CodedMatrix:
    rng, groups = np.random.RandomState(seed), -(-k // 32)
    factors = rng.standard_normal((2, n)).astype(np.float16).astype(np.float32)
    return CodedMatrix(
        bits,
        rng.randint(0, 1 << bits, (n, k)).astype(np.uint8),
        rng.randint(0, 64, (n, groups)).astype(np.uint8),
        rng.randint(0, 64, (n, groups)).astype(np.uint8),
        *factors,
    )


def pack_one_by_one(matrix: CodedMatrix) -> bytes:
    """The README's sentences, a weight at a time."""
    (n, k), bits = matrix.codes.shape, matrix.bits
    tiles = -(-k // 64)
    parts = [bytearray(size) for size in section_bytes(bits, n, k)]
    for row, column in np.ndindex(n, k):
        q, t, r, j = int(matrix.codes[row, column]), (row // 4) * tiles + column // 64, row % 4, column % 64
        a, p, c = j // 16, j // 4 % 4, j % 4
        parts[0][64 * t + 16 * a + 4 * r + c] |= (q & 3) << (2 * p)
        if bits == 4:
            parts[1][64 * t + 16 * a + 4 * r + c] |= (q >> 2) << (2 * p)
        if bits == 3:
            parts[1][32 * t + 16 * (a // 2) + 4 * r + c] |= (q >> 2) << (4 * (p // 2) + 2 * (a % 2) + p % 2)
    for row, group in np.ndindex(*matrix.scales.shape):
        at, h = 12 * ((row // 4) * tiles + group // 2) + 3 * (row % 4), group % 2
        word = int.from_bytes(parts[-2][at : at + 3], "little")
        word |= int(matrix.scales[row, group]) << (6 * h) | int(matrix.minima[row, group]) << (12 + 6 * h)
        parts[-2][at : at + 3] = word.to_bytes(3, "little")
    for row in range(n):
        at = 16 * (row // 4) + 2 * (row % 4)
        parts[-1][at : at + 2] = np.float16(matrix.row_scales[row]).tobytes()
        parts[-1][at + 8 : at + 10] = np.float16(matrix.row_minima[row]).tobytes()
    return b"".join(bytes(part).ljust(align(len(part)), b"\0") for part in parts)


@given(st.sampled_from((2, 3, 4)), st.integers(1, 9), st.integers(1, 140), st.integers(0, 99))
def test_a_matrix_is_packed_as_the_page_reads_it(bits: int, n: int, k: int, seed: int) -> None:
    matrix = coded(bits, n, k, seed)
    content = matrix.pack()
    assert content == pack_one_by_one(matrix)
    assert len(content) == tensor_bytes(bits, (n, k))
    assert np.array_equal(unpack(content, bits, (n, k)), matrix.expand())


def test_the_worked_example() -> None:
    matrix = coded(3, 7, 100)
    matrix.codes[:] = 0
    matrix.codes[6, 90] = 6
    content = matrix.pack()
    assert len(content) == 512
    assert (content[218], content[256 + 106]) == (0x20, 0x40)
    cs = int.from_bytes(content[384 + 42 : 384 + 45], "little") & 63
    assert cs == matrix.scales[6, 2]
    assert np.frombuffer(content, "<f2", 1, 448 + 20)[0] == matrix.row_scales[6]


@given(st.integers(1, 9), st.integers(1, 140), st.integers(0, 99))
def test_bytes_are_packed_as_the_page_reads_them(n: int, k: int, seed: int) -> None:
    matrix = ByteMatrix.round(np.random.RandomState(seed).standard_normal((n, k)).astype(np.float32))
    content, tiles = matrix.pack(), -(-k // 64)
    for row, column in np.ndindex(n, k):
        t, j = (row // 4) * tiles + column // 64, column % 64
        at = 256 * t + 16 * (j // 4) + 4 * (row % 4) + j % 4
        assert np.int8(np.uint8(content[at])) == matrix.codes[row, column]
    start = align(256 * tiles * -(-n // 4))
    for row, group in np.ndindex(*matrix.scales.shape):
        at = start + 16 * ((row // 4) * tiles + group // 2) + 8 * (group % 2) + 2 * (row % 4)
        assert np.frombuffer(content, "<f2", 1, at)[0] == matrix.scales[row, group]
    assert np.array_equal(unpack(content, 8, (n, k)), matrix.expand())


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("shape", [(5,), (3, 70)])
def test_floats_fill_whole_tiles(bits: int, shape: tuple[int, ...]) -> None:
    if len(shape) == 1 and bits == 16:
        return
    numbers = np.random.RandomState(0).standard_normal(shape).astype(np.float16).astype(np.float32)
    content = pack_floats(numbers, bits)
    assert len(content) == tensor_bytes(bits, shape)
    assert np.array_equal(unpack(content, bits, shape), numbers)


def test_activations_are_rounded_group_by_group() -> None:
    x = np.random.RandomState(0).standard_normal((3, 70)).astype(np.float32)
    x[:, 32:64] = 0
    x[:, 0] = 100
    rounded = round_activations(x)
    assert not rounded[:, 32:64].any()
    assert np.abs(rounded[:, :32] - x[:, :32]).max() <= 100 / 127 / 2 * 1.001
    assert np.abs(rounded[:, 64:] - x[:, 64:]).max() <= np.abs(x[:, 64:]).max() / 127 / 2 * 1.001


# --- the cache


def test_a_cache_of_16_bits_is_nearly_exact(tmp_path: Path) -> None:
    logits = run(tmp_path, CacheFormat.parse("16"))
    exact = run(tmp_path, None)
    np.testing.assert_allclose(logits, exact, rtol=0, atol=5e-3 * float(np.abs(exact).max()))


@pytest.mark.parametrize("text", ["k3v2", "2", "8", "k16v2", "k4v16"])
def test_what_is_packed_depends_on_the_position_alone(text: str, tmp_path: Path) -> None:
    """Token by token, in pieces, or all at once: the same, however long the window."""
    shape = wide_heads(tmp_path).shape
    rng = np.random.RandomState(0)
    q, k, v = (rng.standard_normal((200, heads, 32)).astype(np.float32) for heads in (6, 2, 2))

    def attend(pieces: tuple[int, ...]) -> Any:
        cache, parts = PackedCache(shape, CacheFormat.parse(text)), []
        for first, last in pairwise(np.cumsum((0, *pieces))):
            parts.append(cache.attend(0, q[first:last], k[first:last], v[first:last]))
            cache.advance(last - first)
        return np.concatenate(parts)

    whole = attend((200,))
    for pieces in ((1,) * 200, (63, 1, 64, 72), (130, 70)):
        np.testing.assert_allclose(attend(pieces), whole, rtol=0, atol=1e-5)


def wide_heads(folder: Path) -> StoredWeights:
    """A tiny model whose heads are 32 wide, as packing needs it."""
    changes = {"head_dim": 32, "max_position_embeddings": 512}
    return open_source(write_folder(folder, "qwen3", changes=changes)).weights


def run(folder: Path, form: CacheFormat | None) -> Any:
    """Logits of 200 tokens."""
    weights = HeldWeights.of(wide_heads(folder))
    shape = weights.shape
    cache = ExactCache(shape) if form is None else PackedCache(shape, form)
    decoder, tokens = Decoder(ExactTensors(shape, weights.tensors)), np.array(TOKENS * 5, np.int32)
    return decoder.logits(decoder.hidden(tokens, cache))


def test_a_cache_packs_blocks_behind_its_window() -> None:
    narrow, wide = CacheFormat.parse("k3v2"), CacheFormat.parse("k2v2")
    assert [narrow.n_packed(i) for i in (0, 63, 64, 127, 128, 191, 192)] == [0, 0, 0, 0, 64, 64, 128]
    assert [wide.n_packed(i) for i in (127, 191, 192)] == [0, 0, 64]
    assert (narrow.key_group, wide.key_group) == (64, 32)
    assert (narrow.value_group(64), narrow.value_group(96), CacheFormat.parse("3").value_group(64)) == (
        32,
        32,
        64,
    )


@pytest.mark.parametrize(("bits", "clip"), [(2, 1 / 32), (2, 3 / 32), (3, 1 / 32)])
def test_few_levels_are_spent_on_the_many(bits: int, clip: float) -> None:
    """Rotated values are nearly normal: cutting off a group's ends makes the whole of its error smaller."""
    x = np.random.RandomState(1).standard_normal((4096, 64 if bits == 3 else 32)).astype(np.float32)
    errors = [float(np.square(pack_groups(x, bits, each) - x).mean()) for each in (0.0, clip)]
    assert errors[1] < errors[0] * 0.97


@pytest.mark.parametrize("text", ["k5v2", "5", "", "k3", "k3v2 ", 3, None])
def test_caches_that_there_are_not_are_refused(text: Any) -> None:
    with pytest.raises(BadInput, match="kv_cache"):
        CacheFormat.parse(text)


# --- the model file


def write_model(folder: Path, kind: str = "llama", bits: int = 3) -> PackedModel:
    weights = open_source(write_folder(folder / "source", kind)).weights
    target = folder / "packed"
    target.mkdir()
    writer = ModelWriter(target)
    for name in tensor_order(weights.shape):
        numbers = weights.read(name)
        if numbers.ndim == 1:
            writer.add(name, numbers.shape, 32, pack_floats(numbers, 32))
        else:
            writer.add(
                name, numbers.shape, bits, pack_floats(numbers, bits) if bits > 8 else packed(numbers, bits)
            )
    writer.finish(FILE, describe_architecture(weights.shape, False), {"note": "a test's"})
    return PackedModel.open(target)


def packed(numbers: Any, bits: int) -> bytes:
    return ByteMatrix.round(numbers).pack() if bits == 8 else coded(bits, *numbers.shape).pack()


@pytest.mark.parametrize("kind", ["llama-biases", "qwen2", "qwen3"])
def test_a_model_of_32_bits_computes_the_same(kind: str, tmp_path: Path) -> None:
    model = write_model(tmp_path, kind, bits=32)
    assert model.about == {"note": "a test's"}
    weights = HeldWeights.of(open_source(tmp_path / "source").weights)
    tokens = np.array(TOKENS, np.int32)
    exact = Decoder(ExactTensors(weights.shape, weights.tensors))
    found = Decoder(PackedTensors.open(model))
    want = exact.logits(exact.hidden(tokens, ExactCache(exact.shape)))
    np.testing.assert_array_equal(found.logits(found.hidden(tokens, ExactCache(found.shape))), want)


Plain = dict[str, Any]


def unknown_key(plain: Plain) -> None:
    plain["tensors"]["norm"]["type"] = "f32"


def no_norm(plain: Plain) -> None:
    del plain["tensors"]["norm"]


def one_more(plain: Plain) -> None:
    plain["tensors"]["layers.0.lora"] = plain["tensors"]["norm"]


def beyond(plain: Plain) -> None:
    plain["tensors"]["norm"]["offset"] += 1 << 20


def crooked(plain: Plain) -> None:
    plain["tensors"]["norm"]["offset"] += 1


def on_top(plain: Plain) -> None:
    plain["tensors"]["norm"]["offset"] = 0


def no_shard(plain: Plain) -> None:
    plain["tensors"]["norm"]["shard"] = 9


def five_bits(plain: Plain) -> None:
    plain["tensors"]["layers.0.q"]["bits"] = 5


def packed_norm(plain: Plain) -> None:
    plain["tensors"]["norm"]["bits"] = 8


def short(plain: Plain) -> None:
    plain["shards"][0]["size_bytes"] -= 64


def escaping(plain: Plain) -> None:
    plain["shards"][0]["path"] = "../source/model.safetensors"


def later(plain: Plain) -> None:
    plain["version"] = 2


def other_heads(plain: Plain) -> None:
    plain["architecture"]["kv_heads"] = 4


def infinite(plain: Plain) -> None:
    plain["architecture"]["rope"]["inverse_frequencies"] = []


def wide_rope(plain: Plain) -> None:
    plain["architecture"]["rope"]["inverse_frequencies"] *= 2


def no_layers(plain: Plain) -> None:
    plain["architecture"]["layers"] = 0


@pytest.mark.parametrize(
    "spoil",
    [
        *(unknown_key, no_norm, one_more, beyond, crooked, on_top, no_shard, five_bits, packed_norm, short),
        *(escaping, later, other_heads, infinite, wide_rope, no_layers),
    ],
)
def test_model_files_that_cannot_be_are_refused(spoil: Callable[[Plain], None], tmp_path: Path) -> None:
    folder = write_model(tmp_path).file.home.root
    plain = json.loads((folder / FILE).read_text())
    spoil(plain)
    (folder / FILE).write_text(json.dumps(plain))
    with pytest.raises((BadInput, BadRequest)) as refused:
        PackedModel.open(folder)
    assert FILE in str(refused.value)


def test_a_missing_model_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(InferenceError, match=FILE):
        PackedModel.open(tmp_path)


def test_a_rope_may_turn_a_part_of_a_head(tmp_path: Path) -> None:
    shape = open_source(write_folder(tmp_path, "llama")).shape
    half = replace(shape.rope, inverse_frequencies=shape.rope.inverse_frequencies[:2])
    cosines, sines = half.angles(5, 3)
    from browser_runtime.low_bits.rope import rotate

    heads = np.random.RandomState(0).standard_normal((3, 2, 8)).astype(np.float32)
    turned = rotate(heads, cosines, sines)
    assert np.array_equal(turned[..., 4:], heads[..., 4:])
    np.testing.assert_allclose(np.linalg.norm(turned, axis=-1), np.linalg.norm(heads, axis=-1), rtol=1e-6)
