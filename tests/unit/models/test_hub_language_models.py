"""Language models of the Hub: packed from safetensors or GGUF, or as graphs; only what is needed comes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from huggingface_hub import close_session
from safetensors.numpy import load_file, save_file

from browser_runtime.contract.errors import BadInput, BadRequest, InferenceError
from browser_runtime.contract.generating_families import TEXT_GENERATION
from browser_runtime.contract.vocabulary import Family, Precision
from browser_runtime.low_bits.forward import Decoder, ExactCache, ExactTensors
from browser_runtime.low_bits.model_file import PackedModel
from browser_runtime.low_bits.reading.weights import HeldWeights
from browser_runtime.models.hub.downloading import Progress
from browser_runtime.models.store import ModelStore
from browser_runtime.simulation import reference
from tests.stand_ins.decoders import TOKENS, write_folder
from tests.stand_ins.hub import Hub, fetched, list_files, serve_hub
from tests.stand_ins.language_graphs import REFERENCE, write_byte_tokenizer, write_language_graph
from webinfer.commands.models import command

DATA = Path(__file__).parents[2] / "data"
BYTES = {"vocab_size": 259, "bos_token_id": 256, "eos_token_id": 257}
WEIGHTS = "model.safetensors"
SHARDS = {f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)}
INDEX = "model.safetensors.index.json"
SMALL = {"config.json", "tokenizer.json"}


def write_safetensors(folder: Path, kind: str = "llama-biases", n_parts: int = 1) -> Path:
    """A repository of a tiny decoder, with files that nobody needs."""
    write_folder(folder, kind, n_parts, BYTES)
    write_byte_tokenizer(folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    (folder / "pytorch_model.bin").write_bytes(b"never to be fetched" * 1000)
    return folder


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A Hub of language models in every layout."""
    root = tmp_path / "hub" / "tiny"
    write_safetensors(root / "whole" / "main")
    write_language_graph(root / "graphs" / "main", "llama")
    both = write_safetensors(root / "both" / "main")
    (both / "onnx").mkdir()
    shutil.copyfile(DATA / "language_graphs" / "llama.onnx", both / "onnx" / "model.onnx")
    write_safetensors(root / "parts" / "main", n_parts=3)
    gguf = root / "gguf" / "main"
    gguf.mkdir(parents=True)
    for name in ("tiny-Q4_0.gguf", "tiny-f16.gguf", "tiny-IQ1_S.gguf", "tiny-Q8_0-00001-of-00002.gguf"):
        shutil.copyfile(DATA / "gguf" / "llama.gguf", gguf / name)
    with serve_hub(tmp_path / "hub") as hub:
        yield hub
    close_session()


def test_weights_are_packed_in_the_precision_that_is_asked_for(store: ModelStore, hub: Hub) -> None:
    seen: list[Progress] = []
    model = store.pull("tiny/whole", Precision.BITS_8, progress=seen.append)
    assert (model.family, model.precisions, model.revision) == (
        TEXT_GENERATION,
        (Precision.BITS_8,),
        hub.commit("tiny/whole"),
    )
    assert fetched(hub) == {*SMALL, WEIGHTS}
    assert set(list_files(model.folder)) == {
        *SMALL,
        "8bit/low_bits.json",
        "8bit/low_bits-0000.bin",
        "webinfer.json",
    }
    assert not list((store.root / ".partial").iterdir()), "the original is not kept"
    steps = [progress.path for progress in seen]
    assert WEIGHTS in steps and "8bit: layer 0" in steps and steps[-1] == "8bit: done"
    assert [progress.done_bytes for progress in seen[-2:]] == sorted(
        progress.done_bytes for progress in seen[-2:]
    )
    assert store.ensure("tiny/whole", Precision.BITS_8) == store.find("tiny/whole")


def test_the_packed_weights_are_those_of_the_repository(store: ModelStore, hub: Hub) -> None:
    model = store.pull("tiny/whole", Precision.FP16)
    held = HeldWeights.of(PackedModel.open(model.folder / "fp16"))
    given = load_file(hub.root / "tiny/whole/main" / WEIGHTS)
    assert np.allclose(held.tensors["layers.1.gate"], given["model.layers.1.mlp.gate_proj.weight"], atol=1e-3)
    decoder = Decoder(ExactTensors(held.shape, held.tensors))
    assert decoder.logits(decoder.hidden(np.array(TOKENS, np.int32), ExactCache(held.shape))).shape == (
        40,
        259,
    )


def test_a_precision_more_comes_from_the_same_commit(store: ModelStore, hub: Hub) -> None:
    first = store.pull("tiny/both", Precision.BITS_8)
    before = {path: (first.folder / path).read_bytes() for path in first.files}
    grown = store.ensure("tiny/both", Precision.BITS_4)
    assert grown.precisions == (Precision.BITS_4, Precision.BITS_8)
    assert all((grown.folder / path).read_bytes() == content for path, content in before.items())
    assert grown.weights["4bit/low_bits.json"] == ("4bit/low_bits-0000.bin",)
    assert store.verify("tiny/both").whole
    for precision in grown.precisions:
        (found,) = reference(grown, Family.TEXT_GENERATION, ["Once"], {"max_new_tokens": 3}, precision)
        assert len(found["tokens"]) == 3


def test_parts_come_with_their_index(store: ModelStore, hub: Hub) -> None:
    store.pull("tiny/parts", Precision.BITS_8)
    assert fetched(hub) == {*SMALL, INDEX, *SHARDS}


def test_of_gguf_files_the_one_that_loses_least_comes(store: ModelStore, hub: Hub) -> None:
    model = store.pull("tiny/gguf")
    assert fetched(hub) == {"tiny-f16.gguf"}
    assert model.precisions == (TEXT_GENERATION.precision,)
    assert {"config.json", "tokenizer.json"} <= set(model.files)


def test_graphs_come_as_they_are_and_nothing_else(store: ModelStore, hub: Hub) -> None:
    model = store.pull("tiny/graphs", Precision.FP32)
    assert fetched(hub) == {*SMALL, "onnx/model.onnx"}
    (found,) = reference(
        model, Family.TEXT_GENERATION, REFERENCE["prompts"][:1], {"max_new_tokens": 24, "temperature": 0.0}
    )
    assert found["tokens"] == REFERENCE["answers"]["llama"][0]


@pytest.mark.parametrize(
    ("name", "precision", "words"),
    [
        ("tiny/graphs", None, r"'4bit'.* does not have, but must be one of fp32\."),
        ("tiny/whole", Precision.Q4, "'q4'.* does not have, but must be one of fp16, 2bit, 3bit, 4bit, 8bit"),
        ("tiny/both", Precision.INT8, "'int8'.* one of fp32, fp16, 2bit, 3bit, 4bit, 8bit"),
        (
            "tiny/both",
            Precision.MIXED,
            "'mixed', but must be one of .*; a mixture is made by `webinfer models",
        ),
    ],
)
def test_a_precision_that_there_is_not_is_refused_with_those_that_there_are(
    store: ModelStore, hub: Hub, name: str, precision: Precision | None, words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        store.pull(name, precision)
    assert not fetched(hub) & {WEIGHTS, "onnx/model.onnx"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"model_type": "mamba", "architectures": ["MambaForCausalLM"]},
            "'mamba'.*llama, qwen2, qwen3, mistral",
        ),
        ({"attention_sinks": 4}, "attention_sinks of config.json is 4"),
        ({"rope_scaling": {"type": "longrope"}}, "'longrope'"),
    ],
)
def test_a_model_of_another_kind_is_refused_before_its_weights_come(
    store: ModelStore, hub: Hub, changes: dict[str, object], words: str
) -> None:
    path = hub.root / "tiny/whole/main/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(BadInput, match=words):
        store.pull("tiny/whole", Precision.BITS_4)
    assert fetched(hub) == {"config.json"}


def spoil_nan(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors["model.norm.weight"][3] = np.nan
    save_file(tensors, folder / WEIGHTS)


def spoil_shape(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors["model.norm.weight"] = tensors["model.norm.weight"][:-1].copy()
    save_file(tensors, folder / WEIGHTS)


def spoil_size(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-100])


def spoil_tokenizer(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"vocab_size": 64}))
    tensors = load_file(folder / WEIGHTS)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        tensors[name] = tensors[name][:64].copy()
    save_file(tensors, folder / WEIGHTS)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_nan, "model.norm.weight' of model.safetensors holds numbers that are not finite"),
        (spoil_shape, r"model.norm.weight of model.safetensors is \[47\]; its configuration asks for \[48\]"),
        (spoil_size, "does not lie in the file"),
        (spoil_tokenizer, "tokens beyond the model's 64"),
    ],
)
def test_what_is_broken_is_said_in_one_sentence_and_not_fetched_again(
    store: ModelStore, hub: Hub, spoil: object, words: str
) -> None:
    assert callable(spoil)
    spoil(hub.root / "tiny/whole/main")
    with pytest.raises(BadRequest, match=words) as caught:
        store.pull("tiny/whole", Precision.BITS_4)
    assert "\n" not in str(caught.value) and isinstance(caught.value, InferenceError)
    assert type(caught.value) is BadRequest, "a worker remembers it and does not fetch it for each request"
    assert store.find("tiny/whole") is None


def test_a_part_that_the_index_names_and_the_repository_lacks_is_named(store: ModelStore, hub: Hub) -> None:
    (hub.root / "tiny/parts/main/model-00002-of-00003.safetensors").unlink()
    with pytest.raises(BadRequest, match=r"lacks 'model-00002-of-00003.safetensors', which model.safet"):
        store.pull("tiny/parts", Precision.BITS_4)


def test_the_command_pulls_a_language_model_in_its_usual_precision(
    store: ModelStore, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBINFER_MODELS_DIR", str(store.root))
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    done = CliRunner().invoke(command, ["pull", "tiny/whole"])
    assert done.exception is None, done.exception
    found = store.find("tiny/whole")
    assert found is not None and found.precisions == (Precision.BITS_4,)
    refused = CliRunner().invoke(command, ["pull", "tiny/parts", "--prove"])
    assert isinstance(refused.exception, BadInput) and "--prove" in str(refused.exception)
