"""Decoders read from safetensors and GGUF: transformers' logits, and no belief in hostile files."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.low_bits.forward import Decoder, ExactCache, ExactTensors
from browser_runtime.low_bits.reading.blocks import TYPES, expand
from browser_runtime.low_bits.reading.gguf import GgufFile
from browser_runtime.low_bits.reading.sources import DecoderSource, open_source
from browser_runtime.low_bits.reading.weights import HeldWeights
from browser_runtime.low_bits.shape import DecoderShape
from browser_runtime.models.files.paths import ForeignFolder
from tests.stand_ins.decoders import CONFIGS, TOKENS, config_of, write_folder

DATA = Path(__file__).parents[2] / "data"
GGUF = DATA / "gguf"
LOGITS = np.load(DATA / "decoder_logits.npz")
# Sums of a few hundred 32-bit products, in another order than torch's.
TOLERANCE = 5e-6


def logits_of(source: DecoderSource, tokens: list[int], *, cut: int) -> Any:
    """The logits of every position, the first `cut` tokens computed before the others."""
    weights = HeldWeights.of(source.weights)
    decoder, cache = Decoder(ExactTensors(weights.shape, weights.tensors)), ExactCache(weights.shape)
    parts = (np.array(tokens[:cut], np.int32), np.array(tokens[cut:], np.int32))
    return np.concatenate([decoder.logits(decoder.hidden(part, cache)) for part in parts])


@pytest.mark.parametrize("kind", CONFIGS)
def test_logits_are_those_of_transformers(kind: str, tmp_path: Path) -> None:
    source = open_source(write_folder(tmp_path, kind))
    found = logits_of(source, TOKENS, cut=25)
    scale = float(np.abs(LOGITS[kind]).max())
    np.testing.assert_allclose(found, LOGITS[kind], rtol=0, atol=TOLERANCE * scale)


def test_weights_in_several_files_are_the_same(tmp_path: Path) -> None:
    source = open_source(write_folder(tmp_path, "qwen3", n_parts=3))
    assert np.array_equal(
        logits_of(source, TOKENS, cut=39),
        logits_of(open_source(write_folder(tmp_path / "one", "qwen3")), TOKENS, cut=39),
    )


@pytest.mark.parametrize(
    ("key", "value", "positions"), [("sliding_window", 48, 48), ("sliding_window", None, 128)]
)
def test_a_window_bounds_the_text(key: str, value: Any, positions: int) -> None:
    assert DecoderShape.of(config_of("mistral") | {key: value}).max_positions == positions


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        (
            "llama",
            {"model_type": "gpt2"},
            "model_type of config.json is 'gpt2', but must be one of llama, qwen2",
        ),
        ("llama", {"hidden_act": "gelu"}, "hidden_act of config.json is 'gelu'"),
        ("llama", {"quantization_config": {"bits": 4}}, "quantization_config of config.json"),
        (
            "llama",
            {"num_key_value_heads": 4},
            "num_key_value_heads of config.json is 4, but must be a divisor",
        ),
        ("llama", {"num_key_value_head": 4}, "num_key_value_heads"),
        (
            "llama",
            {"rope_scaling": {"type": "dynamic", "factor": 2.0}},
            "type of rope_scaling of config.json",
        ),
        ("llama", {"rope_scaling": {"type": "linear"}}, "factor of rope_scaling of config.json is missing"),
        ("llama", {"rope_scaling": {"type": "linear", "factor": 2.0, "beta": 1}}, "beta of rope_scaling"),
        ("llama", {"rope_interleaved": True}, "rope_interleaved of config.json is True"),
        ("llama", {"vocab_size": None}, "vocab_size of config.json is missing"),
        ("llama", {"vocab_size": 1 << 40}, "vocab_size of config.json is 1099511627776"),
        ("llama", {"hidden_size": 47}, "head_dim of config.json"),
        ("llama", {"rms_norm_eps": float("inf")}, "rms_norm_eps of config.json is inf"),
        ("llama", {"layer_types": ["sliding_attention", "full_attention"]}, "layer_types of config.json"),
        ("llama", {"architectures": ["LlamaForSequenceClassification"]}, "architectures of config.json"),
        ("qwen2", {"attention_bias": True}, "attention_bias of config.json"),
        ("mistral", {"use_sliding_window": True}, "use_sliding_window of config.json"),
    ],
)
def test_what_is_not_computed_is_refused_by_name(kind: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput) as refused:
        DecoderShape.of(config_of(kind) | changes)
    assert words in str(refused.value)


def header_of(path: Path) -> tuple[dict[str, Any], bytes]:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def put_header(path: Path, header: Any, rest: bytes) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + rest)


NORM = "model.norm.weight"


def no_dtype(header: dict[str, Any]) -> None:
    header[NORM]["dtype"] = "I32"


def outside(header: dict[str, Any]) -> None:
    header[NORM]["data_offsets"] = [1 << 30, (1 << 30) + 192]


def negative(header: dict[str, Any]) -> None:
    header[NORM]["data_offsets"] = [192, 0]


def overlapping(header: dict[str, Any]) -> None:
    header[NORM]["data_offsets"] = [64, 64 + 192]


def huge(header: dict[str, Any]) -> None:
    header[NORM]["shape"] = [1 << 50]


def nested(header: dict[str, Any]) -> None:
    header[NORM] = []


def other_shape(header: dict[str, Any]) -> None:
    header[NORM]["shape"] = [24, 2]


def missing(header: dict[str, Any]) -> None:
    del header[NORM]


def additional(header: dict[str, Any]) -> None:
    header["model.layers.0.self_attn.q_proj.lora_A.weight"] = {
        "dtype": "F32",
        "shape": [0],
        "data_offsets": [0, 0],
    }


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (no_dtype, "is of type I32"),
        (outside, "does not lie in the file"),
        (negative, "of another size than its shape"),
        (overlapping, "overlap"),
        (huge, "shape"),
        (nested, "shape"),
        (other_shape, "is [24, 2]; its configuration asks for [48]"),
        (missing, "model.norm.weight of model.safetensors is missing"),
        (additional, "lora_A"),
    ],
)
def test_safetensors_files_that_cannot_be_are_refused(spoil: Any, words: str, tmp_path: Path) -> None:
    path = write_folder(tmp_path, "llama") / "model.safetensors"
    header, rest = header_of(path)
    spoil(header)
    put_header(path, header, rest)
    with pytest.raises(BadRequest) as refused:
        HeldWeights.of(open_source(tmp_path).weights)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01",
        struct.pack("<Q", 1 << 62) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 3) + b"{]}",
    ],
)
def test_files_that_are_no_safetensors_are_refused(content: bytes, tmp_path: Path) -> None:
    write_folder(tmp_path, "llama")
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(BadRequest):
        open_source(tmp_path)


@pytest.mark.parametrize("named", ["../secret.safetensors", "/etc/passwd", "a.bin", 7, "missing.safetensors"])
def test_an_index_names_files_of_the_folder_alone(named: Any, tmp_path: Path) -> None:
    write_folder(tmp_path / "model", "llama", n_parts=2)
    shutil.copy(next(tmp_path.glob("model/*.safetensors")), tmp_path / "secret.safetensors")
    index = {"weight_map": {NORM: named}}
    (tmp_path / "model" / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(BadRequest):
        open_source(tmp_path / "model")


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = write_folder(tmp_path, "llama") / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-4:] = struct.pack("<f", float("nan"))
    path.write_bytes(content)
    with pytest.raises(BadRequest, match="not finite"):
        HeldWeights.of(open_source(tmp_path).weights)


# --- GGUF


@pytest.mark.parametrize("number", TYPES)
def test_blocks_are_read_as_the_gguf_package_reads_them(number: int) -> None:
    blocks, kind = np.load(GGUF / "blocks.npz"), TYPES[number]
    with np.errstate(all="ignore"):
        found = expand(kind, blocks[f"{kind.name}_bytes"].tobytes())
    assert np.array_equal(found, blocks[f"{kind.name}_numbers"], equal_nan=True)


@pytest.mark.parametrize("name", ["llama", "qwen2"])
def test_a_gguf_model_has_the_logits_of_transformers(name: str) -> None:
    logits = np.load(GGUF / "logits.npz")
    source = open_source(GGUF / f"{name}.gguf")
    found = logits_of(source, logits["tokens"].tolist(), cut=11)
    np.testing.assert_allclose(
        found, logits[name], rtol=0, atol=TOLERANCE * float(np.abs(logits[name]).max())
    )


@pytest.mark.parametrize("name", ["llama", "qwen2", "sentencepiece"])
def test_a_gguf_tokenizer_gives_the_ids_that_it_was_made_of(name: str) -> None:
    from tokenizers import Tokenizer

    from browser_runtime.low_bits.reading.gguf_tokenizer import read_tokenizer

    file = GgufFile(ForeignFolder.at(GGUF), f"{name}.gguf")
    text, _ = read_tokenizer(file)
    tokenizer = Tokenizer.from_str(text)
    expected = json.loads((GGUF / "ids.json").read_text(encoding="utf-8"))[name]
    assert {text: tokenizer.encode(text).ids for text in expected} == expected


def test_a_gguf_chat_template_is_taken_out(tmp_path: Path) -> None:
    source = open_source(GGUF / "llama.gguf")
    source.write_companions(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["chat_template"].startswith("{% for m in messages %}")
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "llama"
    assert (tmp_path / "tokenizer.json").is_file()


@pytest.mark.parametrize("at", [0, 3, 8, 20, 40, 400, 5000, 20000, -100])
def test_a_gguf_file_that_ends_early_is_refused(at: int, tmp_path: Path) -> None:
    (tmp_path / "cut.gguf").write_bytes((GGUF / "llama.gguf").read_bytes()[:at])
    with pytest.raises(BadRequest, match=r"cut\.gguf|file"):
        HeldWeights.of(open_source(tmp_path / "cut.gguf").weights)


def with_number(content: bytes, at: int, form: str, number: int) -> bytes:
    packed = struct.pack(form, number)
    return content[:at] + packed + content[at + len(packed) :]


@pytest.mark.parametrize(
    ("at", "form", "number", "words"),
    [
        (0, "<I", 7, "does not begin with GGUF"),
        (4, "<I", 1, "of version 1"),
        (4, ">I", 3, "big-endian"),
        (8, "<Q", 1 << 63, "tensors, more than"),
        (16, "<Q", 1 << 40, "metadata entries"),
        (24, "<Q", 1 << 60, "characters in a text"),
    ],
)
def test_counts_of_a_gguf_file_are_held_against_the_file(
    at: int, form: str, number: int, words: str, tmp_path: Path
) -> None:
    content = with_number((GGUF / "llama.gguf").read_bytes(), at, form, number)
    (tmp_path / "bad.gguf").write_bytes(content)
    with pytest.raises(BadRequest) as refused:
        open_source(tmp_path / "bad.gguf")
    assert words in str(refused.value)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"config\.json"):
        open_source(tmp_path)
    with pytest.raises(BadInput, match="GGUF file or a folder"):
        open_source(tmp_path / "nothing")
