"""Layouts of several graphs, and encoders packed on the way in: of the Hub's files only what is needed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import close_session
from safetensors.numpy import load_file, save_file

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.contract.families import TEXT_EMBEDDING, VISION
from browser_runtime.contract.generating_families import LLAVA
from browser_runtime.contract.vocabulary import Family, Precision
from browser_runtime.low_bits.reading.sources import open_inner
from browser_runtime.models.configuration.pictures import read_decoder
from browser_runtime.models.hub.catalogue import read_catalogue
from browser_runtime.models.intake.export_bert import export_bert
from browser_runtime.models.store import BUILTIN_FOLDER, ModelStore
from browser_runtime.simulation import reference
from tests.stand_ins.hub import Fault, Hub, fetched, serve_hub
from tests.stand_ins.smolvlm import ANSWERS, draw, write_smolvlm
from tests.stand_ins.tiny_models import BERT_CONFIG, bert_weights, write_bert
from tests.stand_ins.vits import write_vit

GRAPHS = ("vision_encoder", "embed_tokens", "decoder_model_merged")
# Of the repositories' own: what transformers.js and others read, and nobody here.
OTHERS = ("_fp16", "_int8", "_q4f16", "_bnb4", "_uint8")
WIDE = BERT_CONFIG | {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
WEIGHTS = "model.safetensors"


def add_other_precisions(folder: Path) -> None:
    """Graphs in further precisions, and the original weights."""
    for stem in GRAPHS:
        for suffix in OTHERS:
            shutil.copyfile(folder / f"onnx/{stem}.onnx", folder / f"onnx/{stem}{suffix}.onnx")
    if not (folder / WEIGHTS).exists():
        (folder / WEIGHTS).write_bytes(b"not asked for" * 1000)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A Hub with a SmolVLM under its catalogue's name, a LLaVA, a BERT and a ViT."""
    root = tmp_path / "hub"
    entry = read_catalogue()["smolvlm-256m"]
    add_other_precisions(write_smolvlm(root / entry.repository / entry.revision))
    ignored = shutil.ignore_patterns("webinfer.json", "4bit", "examples")
    shutil.copytree(BUILTIN_FOLDER / "digits-llava", root / "tiny/llava/main", ignore=ignored)
    add_other_precisions(root / "tiny/llava/main")
    bert = root / "tiny/bert/main"
    write_bert(bert, **WIDE)
    save_file(bert_weights(WIDE), str(bert / WEIGHTS))
    export_bert(bert / "config.json", [bert / WEIGHTS], bert / "onnx/model.onnx")
    write_vit(root / "tiny/vit/main")
    with serve_hub(root) as hub:
        yield hub
    close_session()


def paths_of(suffix: str = "") -> set[str]:
    return {f"onnx/{stem}{suffix}.onnx" for stem in GRAPHS}


def test_a_smolvlm_comes_with_the_graphs_of_the_precision_alone(store: ModelStore, hub: Hub) -> None:
    model = store.ensure("smolvlm-256m", Precision.FP32)
    assert (model.family, model.precisions) == (LLAVA, (Precision.FP32,))
    assert {path for path in fetched(hub) if path.startswith("onnx/")} == paths_of()
    assert not fetched(hub) & {WEIGHTS, "README.md", "answers.json"}
    assert {"chat_template.json", "processor_config.json", "preprocessor_config.json"} <= set(model.files)
    assert store.verify("smolvlm-256m").whole
    row = next(row for row in ANSWERS if row["splits"] and row["images"])
    asked = {"images": [draw(*size) for size in row["images"]], "messages": row["messages"]}
    (output,) = reference(model, Family.MULTIMODAL, [asked], {"temperature": 0.0, "max_new_tokens": 12})
    assert output["tokens"] == row["tokens"]


def test_a_llava_is_recognised_and_gets_another_precision_of_the_same_commit(
    store: ModelStore, hub: Hub
) -> None:
    first = store.ensure("tiny/llava", Precision.FP32)
    hub.requests.clear()
    grown = store.ensure("tiny/llava", Precision.FP16)
    assert (first.family, grown.precisions) == (LLAVA, (Precision.FP32, Precision.FP16))
    assert {path for path in fetched(hub) if path.startswith("onnx/")} == paths_of("_fp16")
    known = r"fp32, fp16, int8, 2bit, 3bit, 4bit, 8bit\."
    with pytest.raises(BadInput, match=rf"'q4'.* does not have, but must be one of {known}"):
        store.ensure("tiny/llava", Precision.Q4)


def test_a_graph_that_was_cut_off_is_gone_on_with_and_one_of_other_bytes_refused(
    store: ModelStore, hub: Hub
) -> None:
    tower, decoder = "onnx/vision_encoder.onnx", "onnx/decoder_model_merged.onnx"
    hub.faults[tower] = Fault(cut_after_bytes=20_000)
    model = store.ensure("smolvlm-256m", Precision.FP32)
    ranges = [request.range for request in hub.downloads(tower)]
    assert any(entry and entry.startswith("bytes=") and entry != "bytes=0-" for entry in ranges)
    assert store.verify(model.name).whole
    hub.faults["onnx/decoder_model_merged_fp16.onnx"] = Fault(corrupt=True, times=100)
    with pytest.raises(Exception, match="decoder_model_merged_fp16"):
        store.ensure("smolvlm-256m", Precision.FP16)
    held = store.find("smolvlm-256m")
    assert held is not None and held.precisions == (Precision.FP32,)
    assert decoder in held.files


def test_a_smolvlm_in_few_bits_is_its_tower_and_a_packed_decoder(store: ModelStore, hub: Hub) -> None:
    model = store.ensure("smolvlm-256m", Precision.BITS_8)
    assert {path for path in fetched(hub) if path.startswith("onnx/")} == {"onnx/vision_encoder.onnx"}
    assert WEIGHTS in fetched(hub) and WEIGHTS not in model.files
    assert set(model.graphs(Precision.BITS_8)) == {"vision_encoder", "low_bits"}
    assert json.loads((model.folder / "config.json").read_text())["model_type"] == "idefics3"
    grown = store.ensure("smolvlm-256m", Precision.FP32)
    assert grown.precisions == (Precision.FP32, Precision.BITS_8)
    assert store.verify(model.name).whole


def test_a_packed_decoder_gives_the_tokens_of_transformers(store: ModelStore, hub: Hub) -> None:
    """In 16 bits, which its repository has no graphs in."""
    write_smolvlm(hub.root / "tiny/vlm/main")
    model = store.ensure("tiny/vlm", Precision.FP16)
    assert set(model.graphs(Precision.FP16)) == {"vision_encoder", "low_bits"}
    rows = [row for row in ANSWERS if row["splits"]]
    asked = [{"images": [draw(*size) for size in row["images"]], "messages": row["messages"]} for row in rows]
    greedy = {"temperature": 0.0, "max_new_tokens": 12}
    found = reference(model, Family.MULTIMODAL, asked, greedy, precision=Precision.FP16)
    assert [out["tokens"] for out in found] == [row["tokens"] for row in rows]


@pytest.mark.parametrize(
    "prefixes", [("language_model.model.", "language_model."), ("model.language_model.", "")]
)
def test_a_decoder_is_found_under_the_names_of_every_version(
    prefixes: tuple[str, str], tmp_path: Path
) -> None:
    """As LLaVA's files had them before transformers 4.52, and since."""
    folder = write_smolvlm(tmp_path / "model")
    shape = read_decoder(json.loads((folder / "config.json").read_text()))
    names = ("embedding", "head", "layers.1.down")
    inner = open_inner(folder, shape, [])
    before = [inner.weights.read(name) for name in names]
    tensors = load_file(folder / WEIGHTS)
    renamed = {
        name.replace("model.text_model.", prefixes[0]).replace("lm_head.", f"{prefixes[1]}lm_head."): tensor
        for name, tensor in tensors.items()
    }
    save_file(renamed, folder / WEIGHTS)
    after = open_inner(folder, shape, ["tokenizer.json"])
    for name, numbers in zip(names, before, strict=True):
        np.testing.assert_array_equal(after.weights.read(name), numbers)
    assert "model_type" in after.config and set(after.companions) == {"tokenizer.json"}


def test_one_without_a_graph_is_refused_before_anything_large_comes(store: ModelStore, hub: Hub) -> None:
    folder = hub.root / "tiny/llava/main"
    for path in folder.glob("onnx/embed_tokens*.onnx"):
        path.unlink()
    with pytest.raises(BadInput, match="'fp32', which model 'tiny/llava' does not have"):
        store.ensure("tiny/llava", Precision.FP32)
    assert not any(path.endswith((".onnx", ".safetensors")) for path in fetched(hub))


def test_an_encoder_is_packed_in_8_bits_on_the_way_in(store: ModelStore, hub: Hub) -> None:
    model = store.ensure("tiny/bert", Precision.BITS_8)
    assert (model.family, model.precisions) == (TEXT_EMBEDDING, (Precision.BITS_8,))
    assert model.revision == hub.commit("tiny/bert")
    assert WEIGHTS in fetched(hub) and WEIGHTS not in model.files
    assert not [path for path in fetched(hub) if path.endswith(".onnx")]
    assert {"8bit/low_bits_encoder.json", "8bit/low_bits-0000.bin"} <= set(model.files)
    assert not list((store.root / ".partial").iterdir()), "the original is not kept"
    assert store.verify("tiny/bert").whole
    texts = ["a man eats bread .", "the girl sleeps"]
    packed = reference(model, Family.TEXT_EMBEDDING, texts, precision=Precision.BITS_8)
    grown = store.ensure("tiny/bert", Precision.FP32)
    assert grown.precisions == (Precision.FP32, Precision.BITS_8)
    exact = reference(grown, Family.TEXT_EMBEDDING, texts, precision=Precision.FP32)
    for one, other in zip(packed, exact, strict=True):
        a, b = one["embedding"], other["embedding"]
        assert float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) > 0.999


def test_an_encoder_gets_8_bits_beside_the_graph_that_it_has(store: ModelStore, hub: Hub) -> None:
    first = store.ensure("tiny/bert", Precision.FP32)
    before = {path: (first.folder / path).read_bytes() for path in first.files}
    grown = store.ensure("tiny/bert", Precision.BITS_8)
    assert grown.precisions == (Precision.FP32, Precision.BITS_8)
    assert all((grown.folder / path).read_bytes() == content for path, content in before.items())
    assert grown.weights["8bit/low_bits_encoder.json"] == ("8bit/low_bits-0000.bin",)


def test_an_encoder_that_is_not_packed_is_refused_by_name(store: ModelStore, hub: Hub) -> None:
    folder = hub.root / "tiny/bert/main"
    with pytest.raises(BadInput, match=r"'q4'.* does not have, but must be one of fp32, 8bit\."):
        store.ensure("tiny/bert", Precision.Q4)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_act": "gelu_new"}))
    with pytest.raises(BadInput, match="'gelu_new'"):
        store.ensure("tiny/bert", Precision.BITS_8)
    assert WEIGHTS not in fetched(hub)
    (folder / "config.json").write_text(json.dumps(config))
    tensors = load_file(folder / WEIGHTS)
    tensors["embeddings.LayerNorm.bias"][3] = np.nan
    save_file(tensors, folder / WEIGHTS)
    with pytest.raises(BadRequest, match=r"model 'tiny/bert' cannot be packed: .*LayerNorm"):
        store.ensure("tiny/bert", Precision.BITS_8)
    assert store.find("tiny/bert") is None


def test_a_vit_is_packed_in_8_bits_on_the_way_in(store: ModelStore, hub: Hub) -> None:
    """A repository of safetensors alone, as most of ViTs are: 8bit is all that it gives."""
    model = store.ensure("tiny/vit", Precision.BITS_8)
    assert (model.family, model.precisions) == (VISION, (Precision.BITS_8,))
    assert WEIGHTS in fetched(hub) and WEIGHTS not in model.files
    assert store.verify("tiny/vit").whole
    image = np.arange(40 * 40 * 3).astype(np.uint8).reshape(40, 40, 3)
    (found,) = reference(model, Family.VISION, [image], precision=Precision.BITS_8)
    (wanted,) = reference(ModelStore().ensure("digits-vit"), Family.VISION, [image])
    a, b = found["logits"], wanted["logits"]
    assert float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) > 0.999
    with pytest.raises(BadInput, match=r"'fp32', which model 'tiny/vit' does not have.* one of 8bit"):
        store.ensure("tiny/vit", Precision.FP32)


def test_a_classifier_that_is_no_vit_is_refused_by_name(store: ModelStore, hub: Hub) -> None:
    path = hub.root / "tiny/vit/main/config.json"
    config = json.loads(path.read_text())
    path.write_text(
        json.dumps(config | {"model_type": "swin", "architectures": ["SwinForImageClassification"]})
    )
    with pytest.raises(BadInput, match=r"model_type of config\.json is 'swin', but must be one of bert, vit"):
        store.ensure("tiny/vit", Precision.BITS_8)
    assert WEIGHTS not in fetched(hub)
