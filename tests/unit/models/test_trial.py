"""What an import does with graphs of all kinds: runs them right, or says in one sentence why it does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.contract.vocabulary import Family, Precision
from browser_runtime.models.intake import trial
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.store import ModelStore, StoredModel
from browser_runtime.simulation import reference
from tests.stand_ins.hub import Hub
from tests.stand_ins.odd_graphs import (
    Change,
    add_input,
    drop_input,
    fill_weights,
    fix_sizes,
    loop_for_ever,
    pass_through,
    rewrite,
    set_versions,
    take_all_memory,
    take_inputs_as,
    take_positions,
)
from tests.stand_ins.tiny_models import write_classifier, write_json, write_text_repository
from tests.stand_ins.tiny_whisper import write_whisper

TEXTS = ["the girl eats bread .", "a man sleeps", "the man eats the bread the girl eats ."]
GRAPH = "onnx/model.onnx"


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def take_text(
    store: ModelStore, folder: Path, *changes: Change, name: str = "tiny", **config: Any
) -> StoredModel:
    """The tiny BERT with its graph changed, imported."""
    write_text_repository(folder)
    (folder / "pytorch_model.bin").unlink()
    rewrite(folder / GRAPH, *changes)
    known = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", known | config)
    return import_model(folder, "tiny", store=store)


def embed(model: StoredModel, texts: list[str] = TEXTS) -> np.ndarray:
    return np.stack([output["embedding"] for output in reference(model, Family.TEXT_EMBEDDING, texts)])


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """What the graph gives as it was exported: onnxruntime on the unchanged file."""
    home = tmp_path_factory.mktemp("plain")
    return embed(take_text(ModelStore(home / "models"), home / "source"))


@pytest.mark.parametrize(
    "changes",
    [
        [take_inputs_as(TensorProto.INT32)],
        [take_inputs_as(TensorProto.FLOAT, "attention_mask"), take_inputs_as(TensorProto.INT32, "input_ids")],
        [take_inputs_as(TensorProto.FLOAT16, "attention_mask")],
        [take_inputs_as(TensorProto.BOOL, "attention_mask")],
        [fix_sizes(batch_size=1)],
        [fix_sizes(batch_size=3)],
        [fix_sizes(sequence_length=14)],
        [fix_sizes(batch_size=2, sequence_length=14), take_inputs_as(TensorProto.INT32)],
        [drop_input("token_type_ids", 0)],
        [drop_input("token_type_ids", 0), drop_input("attention_mask", 1)],
        [take_positions()],
        [take_positions(rows=1), fix_sizes(batch_size=2, sequence_length=14)],
    ],
    ids=["int32", "mixed", "float16", "bool", "one row", "three rows", "fixed length", "fixed shape",
         "no segments", "ids alone", "positions", "one row of positions"],
)  # fmt: skip
def test_graphs_of_other_exporters_give_the_same_embeddings(
    store: ModelStore, tmp_path: Path, embeddings: np.ndarray, changes: list[Change]
) -> None:
    model = take_text(store, tmp_path / "source", *changes)
    # The same float32 graph, but for padding, which the softmax rounds away.
    np.testing.assert_allclose(embed(model), embeddings, atol=2e-6)


def test_a_text_longer_than_a_fixed_length_is_cut_to_it(store: ModelStore, tmp_path: Path) -> None:
    model = take_text(store, tmp_path / "source", fix_sizes(sequence_length=6))
    assert model.settings["max_tokens"] == 6
    short, long = reference(model, Family.TEXT_EMBEDDING, ["a man eats bread", "a man eats bread and sleeps"])
    assert (short["tokens"], short["truncated"]) == (6, False)
    assert (long["tokens"], long["truncated"]) == (6, True)
    np.testing.assert_array_equal(short["embedding"], long["embedding"])


def test_a_model_that_counts_from_its_padding_is_fed_so(store: ModelStore, tmp_path: Path) -> None:
    import onnxruntime

    told = {"model_type": "roberta", "pad_token_id": 1}
    model = take_text(store, tmp_path / "source", take_positions(), **told)
    write_json(tmp_path / "source" / "sentence_bert_config.json", {})
    model = import_model(tmp_path / "source", "unlimited", store=store)
    assert (model.settings["max_tokens"], model.settings["first_position"]) == (30, 2)
    session = onnxruntime.InferenceSession(str(model.folder / GRAPH), providers=["CPUExecutionProvider"])
    ids = np.array([[2, 8, 9, 6, 7, 11, 3]])
    feeds = {"input_ids": ids, "attention_mask": ids * 0 + 1, "token_type_ids": ids * 0}
    hidden = session.run(None, feeds | {"position_ids": np.arange(2, 9)[None]})[0][0]
    expected = hidden.mean(axis=0) / np.linalg.norm(hidden.mean(axis=0))
    np.testing.assert_allclose(embed(model, TEXTS[:1])[0], expected, atol=2e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([pass_through("Frobnicate")], "fp32: .*No Op registered for Frobnicate"),
        ([pass_through("Own", "my.company")], "fp32: .*No opset import for domain .my.company"),
        ([add_input("bbox", TensorProto.INT64, ["batch_size", "sequence_length", 4])],
         "nothing is known for the graph input bbox"),
        ([drop_input("attention_mask", 1), fix_sizes(sequence_length=8)],
         "takes texts of 8 tokens and no attention_mask, so it would read padding as text"),
        ([fill_weights(np.nan, "LayerNorm.bias")], "embedding value 0 is nan"),
        ([fill_weights(np.inf, "word_embeddings")], "embedding value 0 is nan"),
        ([fill_weights(0.0, "encoder.layer.1.output.LayerNorm")], "the embedding of 9 tokens is all zeros"),
        ([pass_through("ReduceMax", keepdims=0)], "last_hidden_state has the shape"),
        ([take_inputs_as(TensorProto.STRING, "token_type_ids")], "token_type_ids takes|failed"),
        ([set_versions(ir=14)], "has IR version 14, but browsers read up to 13: export it"),
        ([set_versions(ir=99)], "has IR version 99"),
        ([set_versions(opset=27)], "has opset 27, but browsers know up to 26"),
    ],
    ids=["operator", "domain", "input", "no mask", "nan", "infinite", "zeros", "output", "strings",
         "ir 14", "ir 99", "opset 27"],
)  # fmt: skip
def test_graphs_that_cannot_run_are_refused_in_one_sentence(
    store: ModelStore, tmp_path: Path, changes: list[Change], words: str
) -> None:
    with pytest.raises(BadRequest, match=words) as caught:
        take_text(store, tmp_path / "source", *changes)
    assert "model 'tiny'" in str(caught.value) and "\n" not in str(caught.value)
    assert store.find("tiny") is None
    assert list((store.root / ".partial").iterdir()) == []


def test_more_positions_than_the_graph_has_are_found_out(store: ModelStore, tmp_path: Path) -> None:
    folder = write_text_repository(tmp_path / "source")
    (folder / "sentence_bert_config.json").unlink()
    write_json(
        folder / "config.json",
        json.loads((folder / "config.json").read_text()) | {"max_position_embeddings": 64},
    )
    with pytest.raises(BadRequest, match=r"in fp32: running model.onnx in Python's onnxruntime failed"):
        import_model(folder, "tiny", store=store)


def test_a_graph_that_loops_for_ever_ends_at_the_bound(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "TIMEOUT_S", 3.0)
    with pytest.raises(BadRequest, match=r"cannot run in fp32: it did not answer within 3 s"):
        take_text(store, tmp_path / "source", loop_for_ever)


def test_a_graph_that_takes_all_memory_ends_its_own_process(store: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"cannot run in fp32: .*(memory|alloc)"):
        take_text(store, tmp_path / "source", take_all_memory)


def test_a_trial_that_crashes_is_told(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    monkeypatch.setattr(trial, "command", lambda *_: [trial.sys.executable, "-c", crash])
    with pytest.raises(BadRequest, match=r"cannot run in fp32: onnxruntime crashed on it \(SIGSEGV\)"):
        take_text(store, tmp_path / "source")


def test_every_precision_is_tried(store: ModelStore, tmp_path: Path) -> None:
    folder = write_text_repository(tmp_path / "source", precisions=("", "_q4"))
    rewrite(folder / "onnx" / "model_q4.onnx", fill_weights(np.nan, "LayerNorm.bias"))
    with pytest.raises(BadRequest, match=r"cannot run in q4: .*nan"):
        import_model(folder, "tiny", store=store)


# --- images


def take_image(store: ModelStore, folder: Path, *changes: Change, name: str = "tiny") -> StoredModel:
    write_classifier(folder)
    rewrite(folder / GRAPH, *changes)
    return import_model(folder, name, store=store)


@pytest.mark.parametrize(
    "changes",
    [
        [fix_sizes(batch_size=1, num_channels=3, height=4, width=4)],
        [fix_sizes(batch_size=5)],
        [take_inputs_as(TensorProto.FLOAT16)],
        [take_inputs_as(TensorProto.DOUBLE)],
    ],
    ids=["fixed shape", "five rows", "float16", "double"],
)
def test_image_graphs_of_other_exporters_give_the_same_logits(
    store: ModelStore, tmp_path: Path, changes: list[Change]
) -> None:
    image = np.random.default_rng(3).integers(0, 256, (9, 7, 3), np.uint8)
    plain, odd = (
        reference(take_image(store, tmp_path / name, *these, name=name), Family.VISION, [image])[0]["logits"]
        for name, these in (("plain", []), ("odd", changes))
    )
    np.testing.assert_allclose(odd, plain, atol=1e-3)  # float16 holds three digits


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            [fix_sizes(height=8, width=8)],
            r"pixel_values declares the shape \[any, any, 8, 8\], not \[1, 3, 4, 4\]",
        ),
        ([fix_sizes(num_channels=1)], "Incompatible dimensions for matrix multiplication"),
        ([fill_weights(0.0, "weights")], "all numbers of its logits are equal"),
        ([pass_through("ReduceMax", axes=[1], keepdims=0)], "logits have the shape"),
    ],
)
def test_image_graphs_that_cannot_run_are_refused(
    store: ModelStore, tmp_path: Path, changes: list[Change], words: str
) -> None:
    with pytest.raises(BadRequest, match=words):
        take_image(store, tmp_path / "source", *changes)
    assert store.find("tiny") is None


def test_an_input_of_another_name_is_refused_by_it(store: ModelStore, tmp_path: Path) -> None:
    def rename(model: Any) -> None:
        model.graph.input[0].name = model.graph.node[0].input[0] = "images"

    with pytest.raises(BadRequest, match="nothing is known for the graph input images"):
        take_image(store, tmp_path / "source", rename)


# --- sounds


def test_a_whisper_runs_without_tokenizer_config(store: ModelStore, tmp_path: Path) -> None:
    folder = write_whisper(tmp_path / "source")
    assert not (folder / "tokenizer_config.json").exists()
    model = import_model(folder, "tiny", store=store)
    assert json.loads((model.folder / "tokenizer_config.json").read_text()) == {}
    assert "tokenizer_config.json" in model.files and store.verify("tiny").whole


def test_a_decoder_that_takes_int32_says_the_same(store: ModelStore, tmp_path: Path) -> None:
    sound = np.sin(np.arange(8000) / 9).astype(np.float32)
    folder = write_whisper(tmp_path / "source")
    expected = reference(import_model(folder, "plain", store=store), Family.AUDIO, [sound])
    rewrite(folder / "onnx" / "decoder_model_merged.onnx", take_inputs_as(TensorProto.INT32, "input_ids"))
    assert reference(import_model(folder, "odd", store=store), Family.AUDIO, [sound]) == expected


def test_a_decoder_with_an_unknown_input_is_refused(store: ModelStore, tmp_path: Path) -> None:
    folder = write_whisper(tmp_path / "source")
    extra = add_input("cache_position", TensorProto.INT64, ["tokens"])
    rewrite(folder / "onnx" / "decoder_model_merged.onnx", extra)
    with pytest.raises(BadRequest, match="nothing is known for the graph input cache_position"):
        import_model(folder, "tiny", store=store)


# --- pulls


async def test_what_cannot_run_is_pulled_once_and_stays_out(hub: Hub, pulling_store: ModelStore) -> None:
    folder = hub.root / "tiny/bert/main"
    rewrite(folder / GRAPH, fill_weights(np.nan, "LayerNorm.bias"))
    for _ in range(2):
        with pytest.raises(BadRequest, match=r"model 'tiny/bert' cannot run in fp32: .*nan"):
            await pulling_store.provide("tiny/bert")
    assert len(hub.downloads("tokenizer.json")) == 1
    assert pulling_store.find("tiny/bert") is None
    assert not [path for path in (pulling_store.root / ".partial").rglob("*") if path.is_file()]


def test_a_precision_that_cannot_run_leaves_the_others(hub: Hub, pulling_store: ModelStore) -> None:
    rewrite(hub.root / "tiny/bert/main/onnx/model_fp16.onnx", fill_weights(np.nan, "LayerNorm.bias"))
    first = pulling_store.ensure("tiny/bert")
    with pytest.raises(BadRequest, match=r"cannot run in fp16: .*nan"):
        pulling_store.ensure("tiny/bert", Precision.FP16)
    assert pulling_store.find("tiny/bert") == first and pulling_store.verify("tiny/bert").whole


def test_pulled_graphs_of_a_fixed_length_cut_texts_to_it(hub: Hub, pulling_store: ModelStore) -> None:
    rewrite(hub.root / "tiny/bert/main" / GRAPH, fix_sizes(sequence_length=9))
    rewrite(hub.root / "tiny/bert/main/onnx/model_fp16.onnx", fix_sizes(sequence_length=7))
    assert pulling_store.ensure("tiny/bert").settings["max_tokens"] == 9
    assert pulling_store.ensure("tiny/bert", Precision.FP16).settings["max_tokens"] == 7
    with pytest.raises(BadInput):
        pulling_store.ensure("tiny/bert", Precision.Q4)
